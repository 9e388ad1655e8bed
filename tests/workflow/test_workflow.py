"""The DAG itself: what it plans, what it reruns, and that it survives being killed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from running import FAST, ROOT, artifacts, copy_project, jobs, run_snakemake, start_snakemake

from promptdistill.cli import main
from promptdistill.experiment import Experiment
from promptdistill.graph import Prompt, everything, targets
from promptdistill.validation import merged, read_yaml

FAST_RUN = ("--cores", 2, "--configfile", FAST)


def test_the_published_tables_are_planned_whole(project):
    """11 data sets and 4 variants of ImageNet, in three protocols, one job for three (shots, seed).

    The kinds of image features differ by prompt (none, boosting, boosting for transfer) and by epochs;
    ImageNet's teachers are asked in 16 parts.
    """
    done = run_snakemake("-n", "--configfile", "config/paper.yaml", cwd=project)
    assert done.returncode == 0, done.stderr
    planned = jobs(done.stdout + done.stderr)
    trained, student, probe = 10, 1, 1  # methods trained on shots, from a teacher, and in few_shot alone
    expected = {
        **{f"adapt_base_to_novel_{number}": 11 * (trained + student) for number in range(1)},
        **{f"evaluate_base_to_novel_{number}": 11 * (trained + student) for number in range(1)},
        **{f"adapt_few_shot_{number}": 11 * (trained + probe) for number in range(5)},
        **{f"evaluate_few_shot_{number}": 11 * (trained + probe) for number in range(5)},
        **{f"adapt_transfer_{number}": trained + 10 * student for number in range(1)},
        **{f"evaluate_transfer_{number}": 15 * trained + 10 * student for number in range(1)},
        **{f"features_base_to_novel_{number}": 11 * 5 for number in range(1)},  # 50 and 10 twice, 20 once
        **{f"features_few_shot_{number}": 11 * 4 for number in range(5)},  # promptsrc's 50 are coop's
        **{f"features_transfer_{number}": 4 for number in range(1)},  # boosted: both see 10
        # FDBPL's, alone and cascaded alike.
        **{f"answers_base_to_novel_{number}": 11 for number in range(1)},
        **{f"answers_few_shot_{number}": 11 for number in range(5)},
        **{f"answers_transfer_{number}": 1 for number in range(1)},
        "data": 15,
        "split": 15,
        "draw": 11 * 15,
        "regions": 3 * 11 + 1,  # for 20, 5 and 50 epochs, and for 2 of the source
        "boost": 11 + 1,
        "tune_teacher": 11 + 1,
        "lookup": 11 + 11 + 10,  # zero-shot, tuned on the data set, tuned on ImageNet
        "lookup_part": 2 * 16,
        "test_features": 11 + 11 + 4 + 15,  # plain and boosted, of 15 data sets for transfer
        "evaluate_zero_shot": 2 * (11 + 11 + 15),
        "metrics": 13 + 14 + 13 - 1,
        "table": 4,
        "overview": 1,
        "track": 1,
        "all": 1,
    }
    assert planned == expected


def test_regions_of_another_scale_for_one_method():
    """They are cut and looked up apart from those of the experiment, which boosting keeps."""
    own = {"fdbpl+caspl": {"prompt_depth": 3, "region_scale": [0.25, 1.0]}}
    content = merged(read_yaml(FAST), {"overrides": own})
    fast = Experiment.checked(content, ROOT / "config")
    inputs = Prompt.parse("base_to_novel/mini_patterns/fdbpl+caspl/2/1").inputs(fast)
    for name in ("answers", "regions"):
        assert inputs[name][0].region_set == "20_0.25to1.0"
    (boosting,) = inputs["boosting"]
    assert boosting.inputs(fast)["answers"][0].region_set == "1"  # one epoch


def test_an_own_experiment_inherits_nothing_from_the_default():
    """The published depths, not those of the miniature student, reach the commands."""
    paper = Experiment.read(ROOT / "config/paper.yaml", ROOT / "config")
    prompt = Prompt.parse("base_to_novel/dtd/promptsrc+caspl/16/1")
    assert prompt.parameters(paper)["hyperparameters"]["prompt_depth"] == 12


def test_the_slurm_profile_is_found(project):
    done = run_snakemake("--cores", "all", "--profile", "slurm", "-n", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "Using profiles slurm and" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("datasets=[mini_shape]", "There is no data set 'mini_shape'"),
        ("methods=[coup]", "There is no method 'coup'"),
        ("seed=3", "unknown key seed"),
        ("published=nowhere", "published: there is no folder nowhere"),
        ("datasets=[Own-Data]", "datasets.0: String should match pattern"),
        ("protocols={base_to_novel: {seeds: [1, 1]}}", "seeds lists 1 more than once"),
        ("protocols={base_to_novel: {seeds: [-1]}}", "seeds.0: Input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_configuration_is_said_in_one_sentence(project, setting, message):
    done = run_snakemake("-n", "--config", setting, cwd=project)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which the fast experiment has run."""
    folder = tmp_path_factory.mktemp("finished")
    copy_project(folder)
    done = run_snakemake(*FAST_RUN, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_a_second_run_does_nothing(finished):
    done = run_snakemake(*FAST_RUN, cwd=finished)
    assert "Nothing to be done" in done.stdout + done.stderr


def payload(folder):
    """Bytes of the tensors in all safetensors files below a folder: without each file's header."""
    files = [path.read_bytes() for path in folder.rglob("*.safetensors")]
    return sum(len(content) - 8 - int.from_bytes(content[:8], "little") for content in files)


def test_a_run_leaves_the_bytes_that_were_planned(finished):
    command = ["plan", "--config", str(FAST), "--json"]
    with contextlib.chdir(finished):
        done = CliRunner().invoke(main, command, catch_exceptions=False)
    stages = {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}
    for stage in ("lookup", "features", "regions"):
        assert stages[stage]["disk_bytes"] == payload(finished / "results" / stage) > 0


def test_another_experiment_of_mlflow_is_filled_without_any_other_job(finished):
    done = run_snakemake(*FAST_RUN, "-n", cwd=finished, settings={"MLFLOW_EXPERIMENT_NAME": "other"})
    assert set(jobs(done.stdout + done.stderr)) == {"track", "all"}


def test_no_training_job_depends_on_the_teacher():
    """Only its lookup does; a table's record keeps the whole configuration."""
    fast = Experiment.read(FAST, ROOT / "config")
    asks = {
        artifact.rule
        for artifact in everything(targets(fast), fast)
        if "miniature-teacher" in str(artifact.parameters(fast))
    }
    assert asks == {"lookup", "table"}


def test_a_step_by_hand_is_the_step_of_the_workflow(finished, tmp_path):
    """A key and the configuration file are all that it takes; the bytes are the same."""
    prompt = finished / "results/adapting/base_to_novel/mini_patterns/coop+caspl/2/1.safetensors"
    before = prompt.read_bytes()
    prompt.unlink()
    command = [sys.executable, "-m", "promptdistill", "adapt", "base_to_novel/mini_patterns/coop+caspl/2/1"]
    environment = os.environ | {"PYTHONPATH": str(finished / "src")}
    subprocess.run([*command, "--config", FAST], cwd=finished, env=environment, check=True)
    assert prompt.read_bytes() == before


def planned(project, *arguments):
    done = run_snakemake(*FAST_RUN, "-n", *arguments, cwd=project)
    assert done.returncode == 0, done.stderr
    return set(jobs(done.stdout + done.stderr)) - {"all"}, done.stdout + done.stderr


def test_an_edited_method_reruns_alone(finished):
    """An edit to methods/coop.py reruns CoOp, plain and cascaded, and what follows; no other method."""
    source = finished / "src/promptdistill/methods/coop.py"
    original = source.read_bytes()
    source.write_bytes(original + b"\n_EDITED = True\n")
    try:
        rules, printed = planned(finished)
    finally:
        source.write_bytes(original)
    assert rules == {
        "adapt_base_to_novel_0",
        "evaluate_base_to_novel_0",
        "metrics",
        "table",
        "overview",
        "track",
    }
    learned = set(re.findall(r"mini_patterns: learning ([\w+]+)", printed))
    assert learned == {"coop", "coop+caspl"}


def test_an_edited_comment_reruns_nothing(finished):
    """Nor does a docstring, or another layout, of what every stage imports."""
    source = finished / "src/promptdistill/files.py"
    original = source.read_text()
    source.write_text(
        original.replace('"""Atomic writes', '"""# A comment.\n\nAtomic writes') + "\n# edited\n"
    )
    try:
        assert planned(finished)[0] == set()
    finally:
        source.write_text(original)


def test_a_changed_hyperparameter_reruns_its_method_alone(finished, tmp_path):
    changed = tmp_path / "changed.yaml"
    changed.write_text(
        FAST.read_text().replace("promptsrc: {prompt_depth: 2,", "promptsrc: {prompt_depth: 1,")
    )
    done = run_snakemake("-n", "--cores", 2, "--configfile", changed, cwd=finished)
    learned = set(re.findall(r"mini_patterns: learning ([\w+]+)", done.stdout, re.MULTILINE))
    assert learned == {"promptsrc"}


def test_other_regions_rerun_the_teacher(finished):
    rules, _ = planned(finished, "--config", "regions={seed: 2}")
    assert {"lookup", "boost", "regions", "features_base_to_novel_0", "adapt_base_to_novel_0"} <= rules
    assert not {"data", "split", "draw", "evaluate_zero_shot"} & rules


def test_a_longer_training_reruns_no_other_method(finished, tmp_path):
    """It sees more regions, which are its own."""
    longer = tmp_path / "longer.yaml"
    text = FAST.read_text().replace(
        "promptsrc: {prompt_depth: 2, epochs: 2}", "promptsrc: {prompt_depth: 2, epochs: 3}"
    )
    longer.write_text(text)
    done = run_snakemake("-n", "--cores", 2, "--configfile", longer, cwd=finished)
    printed = done.stdout + done.stderr
    assert {"regions", "features_base_to_novel_0", "adapt_base_to_novel_0"} <= set(jobs(printed))
    assert not {"lookup", "boost"} & set(jobs(printed))
    learned = set(re.findall(r"mini_patterns: learning ([\w+]+)", printed, re.MULTILINE))
    assert learned == {"promptsrc"}


def test_a_teacher_asked_in_parts_gives_the_same_lookup(finished, project):
    """Two jobs share the shards of a data set; the lookup has the same bytes as one job's."""
    target = "results/lookup/mini_patterns/zero_shot/1/manifest.json"
    sizes = "lookup={shard_images: 100, parts: 2}"
    done = run_snakemake(target, *FAST_RUN, "--config", sizes, cwd=project)
    assert done.returncode == 0, done.stderr[-3000:]
    assert jobs(done.stdout + done.stderr)["lookup_part"] == 2
    one_job = ("--config", "results=whole", "lookup={shard_images: 100}")
    done = run_snakemake(target.replace("results", "whole"), *FAST_RUN, *one_job, cwd=project)
    assert done.returncode == 0, done.stderr[-3000:]
    whole = (project / "whole/lookup/mini_patterns/zero_shot/1").iterdir()
    parts = project / "results/lookup/mini_patterns/zero_shot/1"
    assert {path.name: path.read_bytes() for path in whole} == {
        path.name: path.read_bytes() for path in parts.iterdir() if path.is_file()
    }


def test_another_seed_trains_that_seed_alone(finished, tmp_path):
    """With one job a seed, what is there stays."""
    per_seed = tmp_path / "seeds.yaml"
    for seeds in ("[1]", "[1, 2]"):
        text = FAST.read_text().replace("[zero_shot, coop, coop+caspl, promptsrc]", "[coop]")
        text = text.replace("seeds: [1, 2]", f"seeds: {seeds}")
        text = text.replace("runs_per_job: 2", "runs_per_job: 1")
        per_seed.write_text(text + "results: seeds\n")
        if seeds == "[1]":
            assert run_snakemake("--cores", 2, "--configfile", per_seed, cwd=finished).returncode == 0
    done = run_snakemake("-n", "--configfile", per_seed, cwd=finished)
    jobs_of_seed = [f"{rule}_base_to_novel_1" for rule in ("features", "adapt", "evaluate")]
    rules = ("draw", *jobs_of_seed, "metrics", "table", "overview", "track", "all")
    assert set(jobs(done.stdout + done.stderr)) == set(rules)


def test_a_comment_in_a_data_set_entry_reruns_nothing_and_its_template_what_it_must(finished):
    entry = finished / "config/datasets/mini_patterns.yaml"
    original = entry.read_text()
    try:
        entry.write_text(original + "# a remark\n")
        assert planned(finished)[0] == set()
        entry.write_text(original.replace("{} texture.", "a photo of a {}."))
        assert {"lookup", "boost", "evaluate_zero_shot"} <= planned(finished)[0]
    finally:
        entry.write_text(original)


def test_an_edited_picture_is_drawn_again(finished):
    """The data rule runs, and draws: an edit to the drawing code is not a mere change of time."""
    source = finished / "src/promptdistill/miniature/pictures.py"
    original = source.read_text()
    image = next((finished / "results/data/mini_patterns/images").rglob("*.png"))
    before = image.read_bytes()
    target = "results/data/mini_patterns.json"
    try:
        source.write_text(original.replace("amount: float = 22", "amount: float = 40"))
        assert run_snakemake(target, *FAST_RUN, cwd=finished).returncode == 0
        assert image.read_bytes() != before
    finally:
        source.write_text(original)
    assert run_snakemake(target, *FAST_RUN, cwd=finished).returncode == 0
    assert image.read_bytes() == before


def test_killed_at_some_moment_the_same_command_goes_on(finished, project):
    """kill -9 of the whole process group in the middle; the rerun ends in the same bytes."""
    running = start_snakemake(*FAST_RUN, cwd=project, stderr=subprocess.STDOUT, start_new_session=True)
    for line in running.stdout:
        if "learning coop+caspl" in line:
            break
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    running.stdout.close()
    assert not (project / "results/tables").exists()
    done = run_snakemake(*FAST_RUN, cwd=project)
    assert done.returncode == 0, done.stderr[-3000:]
    assert artifacts(project) == artifacts(finished)


def test_real_pictures_in_the_published_layout(shared, project):
    """EuroSAT, Caltech-101, DTD and Oxford Pets: from files to a table that says it means nothing."""
    config = Path(__file__).parent / "real_images.yaml"
    done = run_snakemake(
        *["--cores", 2, "--configfile", config, "--config", f"data_root={shared / 'data'}"], cwd=project
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    table = (project / "results/tables/base_to_novel.md").read_text()
    for dataset in ("eurosat", "caltech101", "dtd", "oxford_pets"):
        assert f"## {dataset}" in table
    assert "These accuracies are meaningless" in table
