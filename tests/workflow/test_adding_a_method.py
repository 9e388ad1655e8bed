"""docs/adding-a-method.md, followed to the letter."""

import json
import re

import pytest
from running import FAST, ROOT, copy_project, jobs, run_snakemake

from promptdistill.artifacts import read_header
from promptdistill.files import sha256
from promptdistill.miniature.datasets import DATASETS

PAGE = (ROOT / "docs/adding-a-method.md").read_text()
SMOOTH = re.search(r'snakemake --cores all --config "methods=\[(.*?)\]"', PAGE)[1]
FEW = ", ".join(f"{name}: {{epochs: 2}}" for name in ("smooth_coop", "smooth_coop+caspl", "described_coop"))
GIVEN = [
    *("--cores", 2, "--configfile", FAST),
    *("--config", f"methods=[{SMOOTH}, described_coop]"),
    f"overrides={{boosting: {{prompt_depth: 3, epochs: 1}}, {FEW}}}",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which the page's methods have run."""
    project = tmp_path_factory.mktemp("methods")
    copy_project(project)
    files = re.findall(r"^`([\w./]+)`\n\n```(?:python|yaml)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files] == [
        "src/promptdistill/methods/smooth_coop.py",
        "config/methods/smooth_coop.yaml",
        "src/promptdistill/methods/described_coop.py",
        "config/methods/described_coop.yaml",
    ]
    for name, content in files:
        (project / name).write_text(content)
    write_descriptions(project, "a picture of {}.")
    done = run_snakemake(*GIVEN, cwd=project)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return project


def write_descriptions(project, sentence, without=()):
    path = project / "config/descriptions/mini_patterns.json"
    path.parent.mkdir(exist_ok=True)
    names = [name for name in DATASETS["mini_patterns"].classes if name not in without]
    path.write_text(json.dumps({name: [sentence.format(name)] for name in names}))
    return path


def test_the_pages_methods_stand_in_the_table(finished):
    """Alone, cascaded, and with data of its own."""
    table = (finished / "results/tables/base_to_novel.md").read_text()
    for title in ("CoOp, smoothed", "CoOp, smoothed + CasPL †", "CoOp, described"):
        assert re.search(rf"^\| (\*\*)?{re.escape(title)}(\*\*)? \|", table, re.MULTILINE)


def test_a_methods_own_file_is_an_input_of_its_prompts_and_predictions(finished):
    path = finished / "config/descriptions/mini_patterns.json"
    run = "base_to_novel/mini_patterns/described_coop/2/1"
    for made in (f"adapting/{run}.safetensors", f"predictions/{run}.parquet"):
        used = read_header(finished / "results" / made)["inputs"]["descriptions"]
        assert (used.root, used.path) == ("config", "descriptions/mini_patterns.json")
        assert used.sha256 == sha256(path)


def test_an_edited_file_reruns_its_method_alone(finished):
    path = write_descriptions(finished, "a drawing of {}.")
    try:
        done = run_snakemake(*GIVEN, "-n", cwd=finished)
    finally:
        write_descriptions(finished, "a picture of {}.")
    printed = done.stdout + done.stderr
    assert set(re.findall(r"learning ([\w+]+),", printed)) == {"described_coop"}
    assert {"features_base_to_novel_0", "boost", "lookup", "split"}.isdisjoint(jobs(printed))
    assert path.is_file()


def test_what_a_methods_own_file_lacks_is_said(finished):
    """No file: before anything runs.  A class that is missing: by the job that reads it."""
    path = write_descriptions(finished, "a picture of {}.", without=["striped"])
    try:
        done = run_snakemake(*GIVEN, cwd=finished)
        said = "says nothing of the class 'striped': add what is missing."
        assert f"promptdistill: {path.relative_to(finished)} {said}" in done.stdout + done.stderr
        path.unlink()
        done = run_snakemake(*GIVEN, "-n", cwd=finished)
        assert "described_coop reads descriptions for mini_patterns from config/descriptions/mini_pa" in (
            done.stdout + done.stderr
        )
    finally:
        write_descriptions(finished, "a picture of {}.")
