"""Which runs stand behind a cell, and which files behind a run; the numbers are made up."""

import io
from pathlib import Path

import pandas as pd
import pytest
from made_up_results import CONFIG_DIR
from rich.console import Console

from promptdistill.artifacts import read_sealed, write_sealed
from promptdistill.config.schema import digest
from promptdistill.errors import UserError
from promptdistill.files import sha256
from promptdistill.run import RunKey
from promptdistill.tracing.cell import trace_cell, trace_run
from promptdistill.tracing.show import show
from promptdistill.tracking.content import Content
from promptdistill.tracking.store import store_of

COOP, CASCADED = (f"base_to_novel/mini_patterns/{method}/2/1" for method in ("coop", "coop+caspl"))
PATTERNS = "mini_patterns"


@pytest.fixture
def cell(experiment):
    """Traces a cell of a table."""

    def trace(dataset, method, shots=None, table="base_to_novel"):
        return trace_cell(
            experiment.results / f"tables/{table}.csv", dataset, method, shots, experiment.config_dir
        )

    return trace


@pytest.fixture
def run(experiment):
    """Traces a run."""
    return lambda key: trace_run(RunKey.parse(key), experiment)


def imported(experiment, key, tags):
    """The id of a run in the MLflow store of an experiment."""
    from promptdistill.tracking.importing import import_runs

    contents = [
        Content(key=name, table="base_to_novel", points=[], files={}, params={}, tags=tags)
        for name in ("table/base_to_novel", key)
    ]
    return import_runs(contents, store_of(experiment.results))["runs"][key]


def printed(trace):
    """The trace, as in a wide terminal."""
    console = Console(width=1000, record=True, file=io.StringIO())
    show(trace, console)
    return console.export_text()


def by_kind(trace):
    """What -> the files of a trace that are that."""
    kinds = {}
    for file in trace.all_files():
        kinds.setdefault(file.what, []).append(file)
    return kinds


def edited_metrics(experiment, method="coop"):
    """The file of metrics, with a byte more."""
    file = experiment.results / f"metrics/base_to_novel/{method}.json"
    file.write_text(file.read_text() + "\n")
    return file


def rewritten(experiment, table, change):
    """Another table of every seed, which the record knows of."""
    path = experiment.results / f"tables/{table}_seeds.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)
    record = path.with_name(f"{table}_record.json")
    content = read_sealed(record)
    content["files"][1]["sha256"] = sha256(path)
    write_sealed(record, content)


def test_a_cell_has_its_seeds(cell, experiment):
    trace = cell(PATTERNS, "coop")
    assert (trace.cell.table, trace.cell.shots) == ("base_to_novel", 2)
    assert trace.cell.configuration == experiment.config.model_dump(mode="json")
    assert trace.cell.config_sha256 == digest(experiment.config)
    assert [run.key for run in trace.runs] == [COOP, COOP[:-1] + "2"]
    base = [run.values["base"] for run in trace.runs]
    mean, deviation = trace.cell.values["base"]
    assert (mean, deviation) == (pytest.approx(sum(base) / 2), pytest.approx(abs(base[0] - base[1]) / 2**0.5))
    assert [file.state for file in trace.cell.files] == ["as recorded"] * 2
    assert f"table made at commit {trace.cell.commit}, with python " in printed(trace)


@pytest.mark.parametrize(
    ("key", "kinds"),
    [
        (COOP, {"prompt", "draw", "features", "shard"}),
        (CASCADED, {"prompt", "draw", "features", "shard", "boosting", "answers", "classifier", "regions"}),
        (
            COOP.replace("coop", "promptkd"),
            {"prompt", "answers", "shard", "classifier", "regions", "draw"},
        ),
        (f"base_to_novel/{PATTERNS}/zero_shot/0/-", {"features", "shard"}),
        (f"few_shot/{PATTERNS}/linear_probe/1/1", {"prompt", "draw", "features", "shard"}),
    ],
)
def test_a_run_has_all_files_behind_it(run, key, kinds, experiment):
    trace = run(key)
    found = by_kind(trace)
    always = {"metrics", "predictions", "split", "receipt"}
    assert kinds | always <= set(found)
    for file in trace.all_files():
        assert file.found == sha256(Path(file.path))
        assert file.state == ("not recorded" if file.what == "metrics" else "as recorded")
    (predictions,) = found["predictions"]
    assert predictions.path == str(experiment.results / f"predictions/{key}.parquet")
    assert printed(trace).count(f"All {len(trace.all_files())} files are those") == 1
    assert key in printed(trace)


def test_the_values_of_a_run_and_of_its_cell_are_the_same(run, cell):
    assert run(COOP).runs[0].values == pytest.approx(cell(PATTERNS, "coop").runs[0].values)
    assert set(run(COOP).runs[0].values) == {"base", "novel", "hm"}


def test_what_a_file_says_of_itself(run):
    (prompt,) = by_kind(run(COOP))["prompt"]
    assert prompt.facts["method"] == "coop"
    assert "inputs" not in prompt.facts
    (metrics,) = by_kind(run(COOP))["metrics"]
    assert metrics.facts == {}
    assert {"shards", "classifier"}.isdisjoint(by_kind(run(CASCADED))["answers"][0].facts)


def test_the_students_prompt_and_the_teachers(run):
    prompts = by_kind(run(COOP.replace("coop", "promptkd")))["prompt"]
    assert {Path(file.path).parts[-6] for file in prompts} == {"adapting", "teachers"}


@pytest.mark.parametrize(
    ("place", "kind", "unknown"),
    [
        (f"predictions/{CASCADED}.parquet", "predictions", {"prompt", "split", "boosting"}),
        (f"adapting/{CASCADED}.safetensors", "prompt", {"draw"}),
        (f"boosting/{PATTERNS}/boosted.safetensors", "boosting", {"answers", "classifier", "regions"}),
        (f"splits/{PATTERNS}/split.json", "split", {"receipt"}),
        (f"splits/{PATTERNS}/2/1.json", "draw", set()),
        (f"lookup/{PATTERNS}/zero_shot/1/manifest.json", "answers", {"classifier"}),
        (f"lookup/{PATTERNS}/zero_shot/1/shard-00001.safetensors", "shard", set()),
        (f"lookup/{PATTERNS}/zero_shot/1/classifier.safetensors", "classifier", set()),
    ],
)
@pytest.mark.parametrize("gone", [False, True])
def test_another_file_is_said_and_not_followed(run, experiment, place, kind, unknown, gone):
    """One more byte at its end, or no file: what another says of itself is not shown as the number's."""
    path = experiment.results / place
    path.unlink() if gone else path.write_bytes(path.read_bytes() + b"\n")
    trace = run(CASCADED)
    wrong = {(file.path, file.what, file.state) for file in trace.all_files() if not file.fits}
    assert wrong == {(str(path), kind, "missing" if gone else "changed")}
    assert all(file.inputs == [] and file.facts == {} for file in trace.all_files() if not file.fits)
    assert unknown.isdisjoint(by_kind(trace))
    said = "missing: the file that this number was made from" if gone else "changed: this number was not made"
    line = next(line for line in printed(trace).splitlines() if str(path) in line)
    assert said in line
    assert "1 of " in printed(trace).splitlines()[-1]


def test_a_file_that_was_used_twice_is_followed_once(cell):
    lines = printed(cell(PATTERNS, "coop+caspl")).splitlines()
    (first, *others) = [line for line in lines if "boosting  " in line]
    assert first.endswith("as recorded")
    assert others and all(line.endswith("(inputs as above)") for line in others)


def test_files_of_the_users_own_are_compared_and_not_followed(run, experiment, tmp_path):
    """They say nothing of what they were made from."""
    own = tmp_path / "descriptions.json"
    own.write_text('{"a": "b"}')
    split = experiment.results / f"splits/{PATTERNS}/split.json"
    content = read_sealed(split)
    content["promptdistill"]["inputs"] = {"own": experiment.roots.record(own).model_dump()}
    write_sealed(split, content)
    predictions = experiment.roots.record(split)
    from promptdistill.tracing.files import Files

    files = Files(experiment)
    (file,) = files.walk(files.input("split", predictions)).inputs
    assert (file.path, file.state, file.inputs) == (str(own), "as recorded", [])


@pytest.mark.parametrize(
    ("tags", "fits", "said"),
    [
        ("its own", True, ")"),
        (
            {"promptdistill.predictions": "c" * 64},
            False,
            ", imported before this result: `snakemake track` ",
        ),
        ({}, False, ", imported before this result: `snakemake track` imports it again)"),
    ],
)
def test_a_run_in_mlflow_is_the_numbers_own_or_an_older_one(cell, experiment, tags, fits, said):
    if tags == "its own":
        tags = {"promptdistill.predictions": sha256(experiment.results / f"predictions/{COOP}.parquet")}
    number = imported(experiment, COOP, tags)
    trace = cell(PATTERNS, "coop")
    first, *others = trace.runs
    assert (first.mlflow, first.mlflow_fits) == (number, fits)
    assert {(run.mlflow, run.mlflow_fits) for run in others} == {(None, None)}
    assert f"(MLflow run {number}{said}" in printed(trace)
    assert "(no MLflow run was imported)" in printed(trace)


def test_a_server_that_does_not_answer_is_one_line_of_a_trace(cell, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the discard port
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    lines = [line for line in printed(cell(PATTERNS, "coop")).splitlines() if "MLflow" in line]
    assert len(lines) == 1
    assert "no MLflow runs: MLflow (http://127.0.0.1:9, experiment " in lines[0]
    assert lines[0].endswith(" says: Connection refused.")


def test_a_run_in_mlflow_beside_metrics_that_are_others(cell, experiment):
    """What the number was predicted by stands in the metrics that are gone."""
    edited_metrics(experiment)
    imported(experiment, COOP, {})
    trace = cell(PATTERNS, "coop")
    assert trace.runs[0].mlflow_fits is None
    assert ", of which is not known whether it holds this result)" in printed(trace)


def test_nothing_is_followed_from_metrics_that_are_others(cell, experiment):
    """Their rows say where other numbers come from."""
    edited_metrics(experiment)
    run = cell(PATTERNS, "coop").runs[0]
    assert (run.metrics.state, run.predictions) == ("changed", None)


def test_an_average_has_the_runs_of_all_data_sets(cell):
    keys = {run.key for run in cell("average", "coop").runs}
    assert keys == {
        f"base_to_novel/{name}/coop/2/{seed}" for name in (PATTERNS, "mini_emblems") for seed in (1, 2)
    }


def test_an_average_is_of_the_seeds_that_all_data_sets_have(cell, experiment):
    def one_less(rows):
        gone = (rows["dataset"] == "mini_emblems") & (rows["method"] == "coop") & (rows["seed"] == 2)
        return rows[~gone]

    rewritten(experiment, "base_to_novel", one_less)
    assert {RunKey.parse(run.key).seed for run in cell("average", "coop").runs} == {1}


def test_an_ablation_has_averages(cell):
    """Of the method and its variants, at its one number of shots."""
    variant = cell("average", "fdbpl@regions_1", table="ablation_fdbpl")
    assert (variant.cell.table, variant.cell.shots, len(variant.runs)) == ("ablation_fdbpl", 2, 4)
    assert variant.runs[0].key == f"base_to_novel/{PATTERNS}/fdbpl@regions_1/2/1"
    assert variant.runs[0].predictions.state == "as recorded"
    with pytest.raises(UserError, match=rf"has no dataset '{PATTERNS}' \(known: average\)"):
        cell(PATTERNS, "fdbpl@regions_1", table="ablation_fdbpl")


def test_an_average_of_a_transfer_leaves_the_source_out(cell):
    """A run that was tested elsewhere has the prompt of the source."""
    (run,) = cell("average", "coop+caspl", table="cross_dataset").runs
    assert run.key == f"transfer/{PATTERNS}/coop+caspl/2/1"
    (prompt,) = [file for file in run.predictions.inputs if file.what == "prompt"]
    assert Path(prompt.path).parts[-4] == "mini_shapes"
    (run,) = cell("mini_shapes", "coop+caspl", table="cross_dataset").runs
    assert run.key == "transfer/mini_shapes/coop+caspl/2/1"


def test_what_learns_nothing_has_no_seed(cell):
    (run,) = cell("mini_emblems", "zero_shot").runs
    assert run.key == "base_to_novel/mini_emblems/zero_shot/0/-"
    assert f"{run.key} (no seed: nothing is learned): base " in printed(cell("mini_emblems", "zero_shot"))


def test_shots_are_chosen_where_there_are_several(cell):
    assert [run.key for run in cell(PATTERNS, "coop", 2, "few_shot").runs] == [
        f"few_shot/{PATTERNS}/coop/2/1"
    ]
    assert cell(PATTERNS, "zero_shot", table="few_shot").cell.shots == 0
    with pytest.raises(UserError, match=rf"has coop on {PATTERNS} with 1 and 2 shots: choose with --shots\."):
        cell(PATTERNS, "coop", table="few_shot")
    with pytest.raises(UserError, match=f"has no coop on {PATTERNS} with 3 shots, but with 1 and 2"):
        cell(PATTERNS, "coop", 3, "few_shot")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("c", "coop"), r"has no dataset 'c' \(known: mini_emblems, mini_patterns, average\)"),
        ((PATTERNS, "coup"), r"has no method 'coup' \(did you mean coop\?\)"),
    ],
)
def test_a_cell_that_is_not_there(cell, asked, message):
    with pytest.raises(UserError, match=message.replace("mini_emblems, mini_patterns, average", ".*")):
        cell(*asked)


def test_a_cell_without_a_number(cell, experiment):
    path = experiment.results / "tables/base_to_novel.csv"
    cells = pd.read_csv(path)
    cells[(cells["method"] != "coop+caspl") | (cells["dataset"] == PATTERNS)].to_csv(path, index=False)
    with pytest.raises(UserError, match=r"has no number of coop\+caspl on average"):
        cell("average", "coop+caspl")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (COOP.replace("coop", "cocoop"), "cocoop.json does not exist"),
        (
            COOP.replace("/2/1", "/2/7"),
            f"has no run {COOP[:-1]}7: run the workflow first, or name the config",
        ),
    ],
)
def test_a_run_that_is_not_there(run, key, message):
    with pytest.raises(UserError, match=message):
        run(key)


def test_edited_numbers_are_told_by_their_file(cell, experiment):
    seeds = experiment.results / "tables/base_to_novel_seeds.csv"
    seeds.write_text(seeds.read_text() + "\n")
    assert [file.state for file in cell(PATTERNS, "coop").cell.files] == ["as recorded", "changed"]


def test_another_folder_than_the_workflows(cell, experiment):
    for metrics in experiment.results.glob("metrics/base_to_novel/*.json"):
        metrics.unlink()
    with pytest.raises(UserError, match="paths count from the folder that the workflow ran in"):
        cell(PATTERNS, "coop")


@pytest.mark.parametrize(
    ("place", "key", "message"),
    [
        (["configuration", "jobs"], "thread", r"unknown key jobs\.thread \(did you mean threads\?\)"),
        (["configuration", "backbones"], "studnt", r"unknown key backbones\.studnt "),
        ([], "comit", r"unknown key comit \(did you mean commit\?\)"),
    ],
)
def test_a_record_of_another_version(cell, experiment, place, key, message):
    """The unknown key is named, and what helps."""
    path = experiment.results / "tables/base_to_novel_record.json"
    record = read_sealed(path)
    part = record
    for name in place:
        part = part[name]
    part[key] = 1
    write_sealed(path, record)
    with pytest.raises(
        UserError, match=rf"_record\.json.*{message}.*made by another version.*make it again\.$"
    ):
        cell(PATTERNS, "coop")


def test_a_table_without_its_record(tmp_path):
    with pytest.raises(UserError, match=r"t_record.json does not exist, which says what t.csv was made from"):
        trace_cell(tmp_path / "t.csv", "a", "coop", None, CONFIG_DIR)
