"""`promptdistill trace` and `verify` on real runs: every file behind a number, and what is another now."""

import contextlib
import hashlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from running import copy_project, run_snakemake

from promptdistill.artifacts import read_sealed, sealed
from promptdistill.cli import main
from promptdistill.config.schema import digest
from promptdistill.experiment import Experiment
from promptdistill.tracking.content import contents

CONFIG = Path(__file__).parent / "trace.yaml"
PATTERNS = "mini_patterns"
CASCADED = f"{PATTERNS},coop+caspl"
RUN = f"base_to_novel/{PATTERNS}/coop+caspl/2/1"
TESTED = {"table", "metrics", "predictions", "split", "receipt", "published split"}
LOOKED_UP = TESTED | {"features", "shard"}
ON_SHOTS = LOOKED_UP | {"prompt", "draw"}
ASKED = TESTED | {"prompt", "draw", "answers", "shard", "classifier", "regions"}
BOOSTED = ON_SHOTS | ASKED | {"boosting"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which the experiment of trace.yaml has run."""
    folder = tmp_path_factory.mktemp("traced")
    copy_project(folder)
    entry = folder / "config/methods/fdbpl.yaml"
    content = yaml.safe_load(entry.read_text())
    content["variants"] = {"regions_1": content["variants"]["regions_1"]}
    entry.write_text(yaml.safe_dump(content))
    done = run_snakemake("--cores", 2, "--configfile", CONFIG, "--", "all", "ablation", cwd=folder)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder


def run(project, *command, **environment):
    """A command, in the folder of the project."""
    with contextlib.chdir(project):
        return CliRunner().invoke(main, command, env={"MLFLOW_TRACKING_URI": None, **environment})


def run_trace(project, table, cell, *options, **environment):
    return run(project, "trace", f"results/tables/{table}.csv", "--cell", cell, *options, **environment)


def traced(project, table, cell, *options):
    """The exit status, the trace, and all its files by path."""
    done = run_trace(project, table, cell, *options, "--json")
    assert done.stdout, done.stderr
    trace = json.loads(done.stdout)
    files = {}

    def collect(file):
        files.setdefault(file["path"], file)
        for below in file["inputs"]:
            collect(below)

    for file in trace["cell"]["files"]:
        collect(file)
    for one in trace["runs"]:
        collect(one["metrics"])
        collect(one["predictions"] or one["metrics"])
    return done.exit_code, trace, files


@pytest.mark.parametrize(
    ("table", "cell", "options", "kinds", "runs"),
    [
        ("base_to_novel", f"{PATTERNS},coop", [], ON_SHOTS, 2),
        ("base_to_novel", CASCADED, [], BOOSTED, 2),
        ("base_to_novel", "average,coop+caspl", [], BOOSTED, 2),
        ("base_to_novel", f"{PATTERNS},fdbpl", [], ASKED, 2),
        ("base_to_novel", f"{PATTERNS},fdbpl+caspl", [], ASKED | {"boosting"}, 2),
        ("base_to_novel", f"{PATTERNS},promptkd", [], ASKED, 2),
        ("ablation_fdbpl", "average,fdbpl", [], ASKED, 2),
        ("ablation_fdbpl", "average,fdbpl@regions_1", [], ASKED, 2),
        ("few_shot", f"{PATTERNS},coop", ["--shots", "2"], ON_SHOTS, 1),
        ("few_shot", f"{PATTERNS},linear_probe", ["--shots", "1"], ON_SHOTS, 1),
        ("few_shot", f"{PATTERNS},zero_shot", [], LOOKED_UP, 1),
        ("cross_dataset", "mini_shapes,coop+caspl", [], BOOSTED, 1),
        ("cross_dataset", "average,coop+caspl", [], BOOSTED, 1),
        ("cross_dataset", f"{PATTERNS},fdbpl", [], ASKED, 1),
        ("cross_dataset", f"{PATTERNS},promptkd", [], ASKED, 1),
        ("domain_generalization", "mini_shapes_sketch,coop+caspl", [], BOOSTED, 1),
    ],
)
def test_every_file_is_there_with_its_hash(finished, table, cell, options, kinds, runs):
    status, trace, files = traced(finished, table, cell, *options)
    assert status == 0
    assert len(trace["runs"]) == runs
    assert {file["what"] for file in files.values()} == kinds
    for path, file in files.items():
        there = hashlib.sha256((finished / path).read_bytes()).hexdigest()
        assert (file["found"], file["recorded"], file["state"]) == (there, there, "as recorded")


def made_for(project, *targets):
    """The files that Snakemake makes for some targets, in all."""
    done = run_snakemake("--configfile", CONFIG, "--summary", *targets, cwd=project)
    assert done.returncode == 0, done.stderr
    return {line.split("\t")[0] for line in done.stdout.splitlines() if line.startswith("results/")}


@pytest.mark.parametrize(
    ("table", "cell", "predictions"),
    [
        ("base_to_novel", CASCADED, f"base_to_novel/{PATTERNS}/coop+caspl"),
        ("base_to_novel", f"{PATTERNS},fdbpl", f"base_to_novel/{PATTERNS}/fdbpl"),
        ("base_to_novel", f"{PATTERNS},fdbpl+caspl", f"base_to_novel/{PATTERNS}/fdbpl+caspl"),
        ("base_to_novel", f"{PATTERNS},promptkd", f"base_to_novel/{PATTERNS}/promptkd"),
        ("ablation_fdbpl", "average,fdbpl@regions_1", f"base_to_novel/{PATTERNS}/fdbpl@regions_1"),
        ("cross_dataset", CASCADED, f"transfer/{PATTERNS}/coop+caspl"),
        ("cross_dataset", f"{PATTERNS},promptkd", f"transfer/{PATTERNS}/promptkd"),
    ],
)
def test_no_file_of_the_workflow_is_left_out(finished, table, cell, predictions):
    """All that the predictions take, but for curves."""
    folder = finished / "results/predictions" / predictions
    targets = [path.relative_to(finished) for path in sorted(folder.rglob("*.parquet"))]
    made = made_for(finished, *targets)
    made = {path for path in made if not path.endswith(".history.json")}
    _, _, files = traced(finished, table, cell)
    beside = {"table", "metrics", "shard", "classifier", "published split"}
    assert {path for path, file in files.items() if file["what"] not in beside} == made


def test_values_and_provenance_are_the_tables(finished):
    """Metrics of every seed and of the cell, the whole configuration, packages, and MLflow's runs."""
    _, trace, files = traced(finished, "base_to_novel", CASCADED)
    rows = pd.read_csv(finished / "results/tables/base_to_novel.csv")
    rows = rows[(rows["dataset"] == PATTERNS) & (rows["method"] == "coop+caspl")].set_index("metric")
    for metric, (mean, deviation) in trace["cell"]["values"].items():
        assert (mean, deviation) == tuple(rows.loc[metric, ["mean", "std"]])
    imported = json.loads((finished / "results/tracking.json").read_text())["runs"]
    for run in trace["runs"]:
        rows = json.loads((finished / run["metrics"]["path"]).read_text())["runs"]
        own = next(row for row in rows if row["key"] == run["key"])
        assert run["values"] == {name: pytest.approx(own[name], abs=1e-4) for name in ("base", "novel", "hm")}
        assert (run["mlflow"], run["mlflow_fits"]) == (imported[run["key"]], True)
    page = (finished / "results/tables/base_to_novel.md").read_text()
    cell = trace["cell"]
    assert f"configuration {cell['config_sha256'][:12]}, commit {cell['commit']}" in page
    config = Experiment.read(CONFIG, finished / "config").config
    assert (config.model_dump(mode="json"), digest(config)) == (cell["configuration"], cell["config_sha256"])
    assert json.loads((finished / cell["record"]).read_text())["configuration"] == cell["configuration"]
    prompt = next(file for file in files.values() if file["what"] == "prompt")
    assert prompt["facts"]["method"] == "coop+caspl"
    assert prompt["facts"]["versions"] == cell["versions"]


def test_what_is_tracked_is_what_the_artifacts_say(finished):
    """Parameters of a real prompt, its curve, the time of its job, and its data set."""
    _, _, files = traced(finished, "base_to_novel", CASCADED)
    prompt = files[f"results/adapting/{RUN}.safetensors"]
    with contextlib.chdir(finished):
        runs = contents(Experiment.read(CONFIG, Path("config")))
    run = next(one for one in runs if one.key == RUN)
    for name, value in prompt["facts"]["hyperparameters"].items():
        assert run.params[f"hyperparameters.{name}"] == str(value)
    for used in prompt["inputs"]:
        assert run.params[f"{used['what']}_sha256"] == used["recorded"][:12]
    history = json.loads((finished / f"results/adapting/{RUN}.history.json").read_text())["rows"]
    assert [p.value for p in run.points if p.name == "training/loss"] == [row["loss"] for row in history]
    assert run.seconds > 0
    assert [(use.name, use.context) for use in run.datasets] == [(PATTERNS, "training and testing")]


def test_the_tree_of_the_terminal(finished):
    done = run_trace(finished, "base_to_novel", CASCADED)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"base_to_novel: coop+caspl on {PATTERNS}, 2 shots: base ")
    assert sum(f"base_to_novel/{PATTERNS}/coop+caspl/2/" in line and "(MLflow" in line for line in lines) == 2
    assert sum(re.search(r"\(MLflow run \w+\)", line) is not None for line in lines) == 2
    assert "(whole in results/tables/base_to_novel_record.json)" in done.stdout
    boosting = f"boosting  results/boosting/{PATTERNS}/boosted.safetensors  "
    (first, *others) = [line for line in lines if boosting in line]
    assert first.endswith("as recorded")
    assert all(line.endswith("(inputs as above)") for line in others)
    assert lines[-1].startswith("All ")


def test_a_variant_of_an_ablation(finished):
    """Its cell's metrics; it was asked about regions of its own, and stands in no table that is imported."""
    status, trace, files = traced(finished, "ablation_fdbpl", "average,fdbpl@regions_1")
    rows = pd.read_csv(finished / "results/tables/ablation_fdbpl.csv")
    rows = rows[rows["method"] == "fdbpl@regions_1"].set_index("metric")
    cell = trace["cell"]
    assert {name: mean for name, (mean, _) in cell["values"].items()} == rows["mean"].to_dict()
    assert (status, cell["table"], cell["shots"]) == (0, "ablation_fdbpl", 2)
    assert [run["mlflow"] for run in trace["runs"]] == [None, None]
    lookups = {path for path, file in files.items() if file["what"] == "answers"}
    asked = f"results/features/{PATTERNS}/answers/1_0.3to0.6/base_to_novel/2"
    assert lookups == {f"{asked}/{seed}/manifest.json" for seed in (1, 2)}


@contextlib.contextmanager
def replaced(path, content):
    """Another file at `path` for a while; none if the content is None."""
    original = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(original)


def test_a_replaced_boosting_prompt(finished):
    """Another prompt, whole in itself: what it was made from is not shown as the number's."""
    boosting = finished / f"results/boosting/{PATTERNS}/boosted.safetensors"
    other = (finished / "results/boosting/mini_shapes/boosted_transfer.safetensors").read_bytes()
    with replaced(boosting, other):
        status, _, files = traced(finished, "base_to_novel", CASCADED)
        shown = run_trace(finished, "base_to_novel", CASCADED)
    assert status == shown.exit_code == 1
    path = str(boosting.relative_to(finished))
    assert {path: file["state"] for path, file in files.items() if file["state"] != "as recorded"} == {
        path: "changed"
    }
    assert files[path]["inputs"] == []
    assert "answers" not in {file["what"] for file in files.values()}
    line = next(line for line in shown.stdout.splitlines() if path in line)
    said = "changed: this number was not made from the file that lies here now"
    assert f"{said} (recorded: {files[path]['recorded'][:12]})" in line
    assert re.search(r"1 of \d+ files: not what this number was made from\.", shown.stdout)


BASE = ("base_to_novel", CASCADED)
ASKING = ("base_to_novel", f"{PATTERNS},fdbpl")
STUDENT = ("base_to_novel", f"{PATTERNS},promptkd")
DRAWN = f"features/{PATTERNS}/boosted/1/base_to_novel/2/1"


@pytest.mark.parametrize(
    ("place", "what", "table", "cell"),
    [
        ("tables/base_to_novel.csv", "table", *BASE),
        ("tables/base_to_novel_seeds.csv", "table", *BASE),
        ("metrics/base_to_novel/coop+caspl.json", "metrics", *BASE),
        (f"predictions/{RUN}.parquet", "predictions", *BASE),
        (f"adapting/{RUN[:-1]}2.safetensors", "prompt", *BASE),
        (f"splits/{PATTERNS}/split.json", "split", *BASE),
        (f"splits/{PATTERNS}/2/2.json", "draw", *BASE),
        (f"{DRAWN}/manifest.json", "features", *BASE),
        (f"{DRAWN}/shard-00000.safetensors", "shard", *BASE),
        (f"features/{PATTERNS}/boosted/test/manifest.json", "features", *BASE),
        (f"lookup/{PATTERNS}/zero_shot/1/manifest.json", "answers", *BASE),
        (f"lookup/{PATTERNS}/zero_shot/1/classifier.safetensors", "classifier", *BASE),
        (f"features/{PATTERNS}/answers/2_0.3to0.6/base_to_novel/2/1/manifest.json", "answers", *ASKING),
        (f"regions/{PATTERNS}/2_0.3to0.6/manifest.json", "regions", *ASKING),
        (f"data/{PATTERNS}.json", "receipt", *BASE),
        ("tables/ablation_fdbpl.csv", "table", "ablation_fdbpl", "average,fdbpl"),
        (f"teachers/base_to_novel/{PATTERNS}/promptkd_teacher/2/1.safetensors", "prompt", *STUDENT),
        ("boosting/mini_shapes/boosted_transfer.safetensors", "boosting", "cross_dataset", CASCADED),
    ],
)
def test_a_damaged_file_is_found_wherever_it_lies(finished, place, what, table, cell):
    """One more byte at its end."""
    file = finished / "results" / place
    with replaced(file, file.read_bytes() + b"\n"):
        status, _, files = traced(finished, table, cell)
    wrong = {
        path: (one["what"], one["state"]) for path, one in files.items() if one["state"] != "as recorded"
    }
    assert wrong == {f"results/{place}": (what, "changed")}
    assert status == 1


def test_a_missing_file(finished):
    draw = f"results/splits/{PATTERNS}/2/1.json"
    with replaced(finished / draw, None):
        status, _, files = traced(finished, "base_to_novel", f"{PATTERNS},coop")
        shown = run_trace(finished, "base_to_novel", f"{PATTERNS},coop").stdout
    assert (status, files[draw]["state"], files[draw]["found"]) == (1, "missing", None)
    assert f"{draw}  missing: the file that this number was made from is not here" in shown


def test_red_is_what_is_wrong(finished):
    """In a terminal with colours."""
    draw = finished / f"results/splits/{PATTERNS}/2/1.json"
    with replaced(draw, None):
        colours = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
        shown = run_trace(finished, "base_to_novel", f"{PATTERNS},coop", **colours).stdout
    assert "\x1b[1;31mmissing: the file that this number was made from is not here" in shown


@pytest.mark.parametrize(
    ("table", "cell", "message"),
    [
        ("base_to_novel", f"{PATTERNS},coup", "has no method 'coup' (did you mean coop?)."),
        ("base_to_novel", PATTERNS, "give a data set and a method, such as dtd,coop."),
        ("few_shot", f"{PATTERNS},coop", "mini_patterns with 1 and 2 shots: choose with --shots."),
        ("nothing", CASCADED, "results/tables/nothing_record.json does not exist"),
    ],
)
def test_what_cannot_be_traced_is_said_in_one_sentence(finished, table, cell, message):
    done = run_trace(finished, table, cell)
    assert (done.exit_code, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert message in sentence


def test_a_run_by_its_key(finished):
    done = run(finished, "trace", RUN, "--config", str(CONFIG), "--json")
    (traced_run,) = json.loads(done.stdout)["runs"]
    _, trace, _ = traced(finished, "base_to_novel", CASCADED)
    first = trace["runs"][0]
    assert (done.exit_code, traced_run["key"]) == (0, RUN)
    assert traced_run["predictions"] == first["predictions"]
    assert traced_run["values"] == {
        name: pytest.approx(value, abs=1e-4) for name, value in first["values"].items()
    }


def test_real_results_belong_together_until_one_is_another(finished):
    done = run(finished, "verify", "--config", str(CONFIG))
    assert (done.exit_code, done.stdout[-14:]) == (0, ": none wrong.\n"), done.stdout
    place = f"results/features/{PATTERNS}/boosted/test/shard-00000.safetensors"
    with replaced(finished / place, (finished / place).read_bytes() + b"\n"):
        done = run(finished, "verify", "--config", str(CONFIG))
        other = run(finished, "verify", RUN.replace("coop+caspl", "fdbpl"), "--config", str(CONFIG))
    line, last = done.stdout.splitlines()
    assert line.startswith(f"{place}: damaged: its content is not what it was written with (used by ")
    assert last.endswith(": 1 wrong.")
    assert (done.exit_code, other.exit_code) == (1, 0)


def flipped(content):
    """One bit in the middle is another."""
    return (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    )


# A file of every kind that something was made from, and another of its kind.
KINDS = {
    "receipt": (f"data/{PATTERNS}.json", "data/mini_shapes.json"),
    "split": (f"splits/{PATTERNS}/split.json", "splits/mini_shapes/split.json"),
    "draw": (f"splits/{PATTERNS}/2/1.json", f"splits/{PATTERNS}/2/2.json"),
    "regions": (f"regions/{PATTERNS}/1/manifest.json", f"regions/{PATTERNS}/2_0.3to0.6/manifest.json"),
    "regions shard": (f"regions/{PATTERNS}/1/SHARD", f"regions/{PATTERNS}/2_0.3to0.6/SHARD"),
    "lookup": (
        f"lookup/{PATTERNS}/zero_shot/1/manifest.json",
        "lookup/mini_shapes/zero_shot/1/manifest.json",
    ),
    "lookup shard": (f"lookup/{PATTERNS}/zero_shot/1/SHARD", "lookup/mini_shapes/zero_shot/1/SHARD"),
    "classifier": tuple(
        f"lookup/{PATTERNS}/{teacher}/1/classifier.safetensors"
        for teacher in ("zero_shot", "base_to_novel-2-1")
    ),
    "features": (f"{DRAWN}/manifest.json", f"{DRAWN[:-1]}2/manifest.json"),
    "features shard": (f"{DRAWN}/SHARD", f"{DRAWN[:-1]}2/SHARD"),
    "test features": tuple(
        f"features/{PATTERNS}/{kind}/test/manifest.json" for kind in ("boosted", "boosted_transfer")
    ),
    "boosting prompt": (
        f"boosting/{PATTERNS}/boosted.safetensors",
        "boosting/mini_shapes/boosted_transfer.safetensors",
    ),
    "teacher's prompt": (
        f"teachers/base_to_novel/{PATTERNS}/promptkd_teacher/2/1.safetensors",
        "teachers/transfer/mini_shapes/promptkd_teacher/2/1.safetensors",
    ),
    "prompt": (f"adapting/{RUN}.safetensors", f"adapting/{RUN[:-1]}2.safetensors"),
    "predictions": (f"predictions/{RUN}.parquet", f"predictions/{RUN[:-1]}2.parquet"),
    "metrics": ("metrics/base_to_novel/coop+caspl.json", "metrics/base_to_novel/coop.json"),
    "table": ("tables/base_to_novel.csv", "tables/few_shot.csv"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["flipped", "cut", "swapped", "deleted"])
def test_verify_names_what_is_damaged(finished, kind, damage):
    """Whatever the file is, and whatever happened to it; of two that changed places, both."""
    places = [place.replace("SHARD", "shard-00000.safetensors") for place in KINDS[kind]]
    path, other = (finished / "results" / place for place in places)
    content, others = path.read_bytes(), other.read_bytes()
    if damage == "swapped":
        with replaced(path, others), replaced(other, content):
            done = run(finished, "verify", "--config", str(CONFIG))
        named = set(places)
    else:
        with replaced(path, {"flipped": flipped(content), "cut": content[:-7], "deleted": None}[damage]):
            done = run(finished, "verify", "--config", str(CONFIG))
        named = {places[0]}
    assert done.exit_code == 1, done.output
    *faults, summary = done.stdout.splitlines()
    assert {line.partition(": ")[0].removeprefix("results/") for line in faults} == named
    assert summary.endswith(f": {len(named)} wrong.")
    said = "missing" if damage == "deleted" else "damaged|replaced"
    assert all(re.search(rf": ({said})\b.* \(used by results/", line) for line in faults)


def test_verify_measures_edited_metrics_again(finished):
    """Numbers that somebody edited, and the record of their table with them: only a count finds these."""
    metrics = finished / "results/metrics/base_to_novel/coop.json"
    record = finished / "results/tables/base_to_novel_record.json"
    content = read_sealed(metrics)
    row = content["runs"][0]
    right, row["base"] = row["base"], 99.5
    edited = json.dumps(sealed(content)).encode()
    table = read_sealed(record)
    table["inputs"]["metrics/coop"]["sha256"] = hashlib.sha256(edited).hexdigest()
    with replaced(metrics, edited):
        assert run(finished, "verify", "--config", str(CONFIG)).exit_code == 1
        with replaced(record, json.dumps(sealed(table)).encode()):
            done = run(finished, "verify", "--config", str(CONFIG))
    said = f"{row['key']} has base 99.5000, but results/predictions/{row['key']}.parquet gives {right:.4f}"
    assert done.exit_code == 1
    assert done.stdout.splitlines()[:-1] == [f"results/metrics/base_to_novel/coop.json: {said}"]
