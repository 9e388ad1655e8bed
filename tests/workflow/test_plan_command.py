"""`promptdistill plan` against Snakemake's own dry run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import FAST, ROOT, jobs, run_snakemake

from promptdistill.experiment import Experiment
from promptdistill.planning.estimate import ablation_artifacts, jobs_by_rule
from promptdistill.planning.throughput import SHIPPED

MATRIX = Path(__file__).parent / "matrix.yaml"


def run_plan(*arguments, cwd):
    command = [sys.executable, "-m", "promptdistill", "plan", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(cwd / "src")}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def planned(*arguments, cwd):
    done = run_plan(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("config", ["config/config.yaml", "config/paper.yaml", MATRIX, FAST])
def test_as_many_jobs_as_snakemake_lists(project, config):
    done = run_snakemake("-n", "--configfile", config, cwd=project)
    listed = jobs(done.stdout + done.stderr)
    del listed["all"]  # no job, but what is asked for
    made = planned("--config", config, cwd=project)
    assert made["rules"] == listed
    assert sum(stage["jobs"] for stage in made["stages"]) == sum(listed.values())


def test_an_ablation_asked_alone_and_beside_the_tables(project):
    """What both targets take in an empty folder, less what `all` takes alone, is what the ablation adds."""
    config = "config/paper.yaml"
    asked = {}
    for targets in (["ablation"], ["all", "ablation"]):
        done = run_snakemake("-n", "--configfile", config, "--", *targets, cwd=project)
        asked[len(targets)] = jobs(done.stdout + done.stderr)
        for target in targets:
            del asked[len(targets)][target]
    paper = Experiment.read(ROOT / config, ROOT / "config")
    assert jobs_by_rule(ablation_artifacts(paper), paper) == asked[1]
    made = planned("--config", config, cwd=project)
    assert made["ablation"]["jobs"] == sum(asked[2].values()) - made["total"]["jobs"]


def test_steps_measured_on_a_gpu_and_a_rate_that_is_assumed(project):
    """They contradict each other."""
    measured = project / "gpu.csv"
    measured.write_text(SHIPPED.read_text().replace(",cpu,", ",cuda,"))
    made = planned("--measured", measured, cwd=project)
    assert made["basis"] is None
    assert made["total"]["gpu_hours"] == planned(cwd=project)["total"]["hours"]
    done = run_plan("--measured", measured, "--tflops", "25", cwd=project)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--tflops: " in done.stderr
    assert "gpu.csv has steps measured on a GPU: drop it." in done.stderr


def test_variants_with_regions_of_their_own(project, tmp_path):
    """FDBPL's stored regions and answers are its own where their number or scale is."""
    config = tmp_path / "config.yaml"
    text = FAST.read_text().replace(", promptsrc]", ", fdbpl, fdbpl+caspl, fdbpl@regions_2+caspl]")
    own = (
        "  fdbpl: {prompt_depth: 2, epochs: 2, region_scale: [0.3, 0.6]}\n"
        "  fdbpl+caspl: {epochs: 3, region_scale: [0.08, 1.0]}\n"
    )
    config.write_text(text.replace("  promptsrc: {prompt_depth: 2, epochs: 2}\n", own))
    done = run_snakemake("-n", "--configfile", config, cwd=project)
    listed = jobs(done.stdout + done.stderr)
    del listed["all"]
    assert planned("--config", config, cwd=project)["rules"] == listed
    assert (listed["lookup"], listed["answers_base_to_novel_0"]) == (1, 3)


def test_other_shapes_of_the_workflow(project, tmp_path):
    """Parts of lookups, no stored regions, and one protocol alone with methods of its own."""
    config = tmp_path / "config.yaml"
    text = MATRIX.read_text().replace("jobs: {runs_per_job: 2}", "jobs: {runs_per_job: 3}")
    text = text.replace("few_shot: {shots: [1, 2]", "few_shot: {methods: [linear_probe], shots: [1, 2]")
    config.write_text(text + "lookup: {parts_of: {mini_shapes: 4}}\nregions: {max_gb: 0}\n")
    done = run_snakemake("-n", "--configfile", config, cwd=project)
    listed = jobs(done.stdout + done.stderr)
    del listed["all"]
    assert planned("--config", config, cwd=project)["rules"] == listed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("datasets: [mini_patterns]", "datasets: [mini_pattern]"),
        ("methods: [zero_shot, coop, ", "methods: [zero_shot, coup, "),
        ("seeds: [1, 2]", "seeds: [1, 1]"),
        ("jobs:", "job:"),
        ("coop: {epochs: 2,", "coop: {epoch: 2,"),
        ("coop: {epochs: 2,", "coop: {epochs: few,"),
        ("datasets: [mini_patterns]", "datasets: ["),
    ],
)
def test_a_wrong_configuration_is_said_as_by_the_workflow(project, old, new):
    """In one sentence, which is the workflow's own, wherever that is one."""
    config = project / "wrong.yaml"
    assert old in FAST.read_text()
    config.write_text(FAST.read_text().replace(old, new, 1))
    done = run_plan("--config", "wrong.yaml", cwd=project)
    assert done.returncode == 1
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    if new != "datasets: [":  # Snakemake reads the file itself before we do
        said = run_snakemake("-n", "--configfile", config, cwd=project)
        assert said.returncode != 0
        assert sentence.removeprefix("promptdistill: ") in said.stdout + said.stderr


def test_the_terminal_shows_what_json_says(project):
    """Every stage with its jobs; what the hours rest on; and no hours where no model runs."""
    done = run_plan("--config", "config/paper.yaml", "--tflops", "25", cwd=project)
    assert done.returncode == 0, done.stderr
    rows = {line[:14].strip(): line[14:].split() for line in done.stdout.splitlines()[:14]}
    made = planned("--config", "config/paper.yaml", "--tflops", "25", cwd=project)
    for stage in made["stages"]:
        assert rows[stage["name"]][0] == f"{stage['jobs']:,}"
    assert len(rows["metrics"]) == 1
    assert "at 25 TFLOP/s achieved, which is assumed (--tflops): nothing was measured on a GPU" in done.stdout
    assert "ViT-B-16-quickgelu on cpu (2 threads), float32" in done.stdout
    assert "to be placed by hand: imagenet" in done.stdout
    assert "stanford_cars/mirror.zip" in done.stdout
