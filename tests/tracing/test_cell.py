"""Which runs stand behind a cell, from the table's own record; the predictions here do not exist."""

import io
import json
from pathlib import Path

import pytest
from report_runs import FEW, HALVES, TRANSFER, ask, halves
from rich.console import Console

from promptdistill import config as configuration
from promptdistill.config import Variant
from promptdistill.errors import UserError
from promptdistill.report.origin import write_origin
from promptdistill.report.render import write_ablation, write_table
from promptdistill.tracing.cell import trace_cell
from promptdistill.tracing.show import show
from promptdistill.tracking.content import Content
from promptdistill.tracking.store import store_of

CONFIG_DIR = Path(__file__).parents[2] / "config"
CONFIG = configuration.load(configuration.read_yaml(CONFIG_DIR / "config.yaml"), CONFIG_DIR)
TABLE = Path("results/tables/t.csv")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function that makes a table from metrics, in the folder where the test then runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def write(metrics, request, config=CONFIG, variants=None):
        file, output = Path("results/metrics/any/all.json"), TABLE.with_suffix("")
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(metrics))
        if variants is None:
            write_table(metrics, request, output)
            write_origin(output, request, {file: metrics}, config)
        else:
            write_ablation(metrics, request, variants, output)
            write_origin(output, request, {file: metrics}, config, endings=(".csv", "_seeds.csv"))

    return write


def cell(dataset, method, shots=None):
    return trace_cell(TABLE, dataset, method, shots, CONFIG_DIR)


def in_folder(folder):
    """The configuration with whole paths: MLflow keeps stores open by their addresses."""
    return CONFIG.model_copy(update={"results": str(folder / "results")})


def imported(folder, key, tags):
    """The id of a run in the MLflow store of a folder."""
    from promptdistill.tracking.importing import import_runs

    contents = [
        Content(key=name, table="base_to_novel", points=[], files={}, params={}, tags=tags)
        for name in ("table/base_to_novel", key)
    ]
    return import_runs(contents, store_of(folder / "results"))["runs"][key]


def printed(trace):
    """The trace, as in a wide terminal."""
    console = Console(width=1000, record=True, file=io.StringIO())
    show(trace, console)
    return console.export_text()


def test_a_cell_has_its_seeds(make):
    make(HALVES, ask())
    trace = cell("a", "coop")
    assert (trace.table, trace.shots) == ("t", 16)
    assert trace.configuration == CONFIG.model_dump(mode="json")
    assert trace.config_sha256 == configuration.digest(CONFIG)
    assert [run.seed for run in trace.runs] == [1, 2, 3]
    assert [run.figures["base"] for run in trace.runs] == [71, 72, 73]
    assert trace.figures["base"] == (72, 1)
    assert trace.runs[0].key == "base_to_novel/a/coop/16/1"
    assert [file.state for file in trace.files] == ["as recorded"] * 2
    assert f"table made at commit {trace.commit}, with python " in printed(trace)


def test_predictions_are_looked_for_where_the_table_says(make):
    make(HALVES, ask())
    (file,) = cell("a", "coop").runs[1].metrics.inputs
    assert (file.path, file.recorded, file.state) == ("a/coop/16/2.parquet", "b" * 64, "missing")


@pytest.mark.parametrize(
    ("tags", "fits", "said"),
    [
        ({"promptdistill.predictions": "b" * 64}, True, ")"),
        ({"promptdistill.predictions": "c" * 64}, False, ", imported before this result: `snakemake track` "),
        ({}, False, ", imported before this result: `snakemake track` imports it again)"),
    ],
)
def test_a_run_in_mlflow_is_the_numbers_own_or_an_older_one(make, tmp_path, tags, fits, said):
    make(HALVES, ask(), config=in_folder(tmp_path))
    number = imported(tmp_path, "base_to_novel/a/coop/16/1", tags)
    trace = cell("a", "coop")
    first, *others = trace.runs
    assert (first.mlflow, first.mlflow_fits) == (number, fits)
    assert {(run.mlflow, run.mlflow_fits) for run in others} == {(None, None)}
    assert f"(MLflow run {number}{said}" in printed(trace)
    assert "(no MLflow run was imported)" in printed(trace)


def test_a_server_that_does_not_answer_is_one_line_of_a_trace(make, monkeypatch):
    make(HALVES, ask())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the discard port
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    lines = [line for line in printed(cell("a", "coop")).splitlines() if "MLflow" in line]
    assert len(lines) == 1
    assert "no MLflow runs: http://127.0.0.1:9, experiment " in lines[0]
    assert lines[0].endswith(" did not answer: Connection refused.")


def test_a_run_in_mlflow_beside_metrics_that_are_others(make, tmp_path):
    """What the number was predicted by stands in the metrics that are gone."""
    make(HALVES, ask(), config=in_folder(tmp_path))
    file = Path("results/metrics/any/all.json")
    file.write_text(file.read_text() + "\n")
    imported(tmp_path, "base_to_novel/a/coop/16/1", {})
    trace = cell("a", "coop")
    assert trace.runs[0].mlflow_fits is None
    assert ", of which is not known whether it holds this result)" in printed(trace)


def test_an_average_has_the_runs_of_all_data_sets(make):
    make(HALVES, ask())
    runs = cell("average", "coop").runs
    assert [(run.dataset, run.seed) for run in runs] == [(name, seed) for name in "ab" for seed in (1, 2, 3)]


def test_an_average_is_of_the_seeds_that_all_data_sets_have(make):
    make(HALVES, ask())
    runs = cell("average", "coop+caspl").runs
    assert [(run.dataset, run.seed) for run in runs] == [(name, seed) for name in "ab" for seed in (1, 2)]


def test_an_ablation_has_averages(make):
    """Of the method and its variants, at its one number of shots."""
    titles = {"coop": "CoOp", "coop@short": "4 tokens"}
    metrics = [halves("a", name, seed, 70 + seed, 50) for name in titles for seed in (1, 2)]
    variants = {"coop@short": Variant(title="4 tokens", hyperparameters={"n_ctx": 4})}
    make(metrics, ask(datasets=("a",), titles=titles, seeds=(1, 2)), variants=variants)
    trace = cell("average", "coop@short")
    assert [(run.dataset, run.seed, run.figures["base"]) for run in trace.runs] == [
        ("a", 1, 71),
        ("a", 2, 72),
    ]
    assert trace.figures["base"][0] == 71.5
    assert trace.runs[0].key == "base_to_novel/a/coop@short/16/1"
    with pytest.raises(UserError, match=r"has no dataset 'a' \(known: average\)"):
        cell("a", "coop@short")


def test_an_average_of_a_transfer_leaves_the_source_out(make):
    make(TRANSFER, ask("cross_dataset"))
    assert {run.dataset for run in cell("average", "coop").runs} == {"a", "b"}
    assert {run.dataset for run in cell("s", "coop").runs} == {"s"}


def test_what_learns_nothing_has_no_seed(make):
    make(HALVES, ask())
    (run,) = cell("b", "zero_shot").runs
    assert (run.seed, run.key) == (None, "base_to_novel/b/zero_shot/0/-")


def test_shots_are_chosen_where_there_are_several(make):
    make(FEW, ask("few_shot", shots=(1, 4), seeds=(1, 2)))
    assert [run.figures["accuracy"] for run in cell("a", "coop", 4).runs] == [65, 66]
    assert cell("a", "coop+caspl").shots == 4
    assert cell("a", "zero_shot").shots == 0
    with pytest.raises(UserError, match=r"has coop on a with 1, 4 shots: choose with --shots\."):
        cell("a", "coop")
    with pytest.raises(UserError, match="has no coop on a with 2 shots, but with 1 and 4"):
        cell("a", "coop", 2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("c", "coop"), r"has no dataset 'c' \(known: a, average, b\)"),
        (("a", "coup"), r"has no method 'coup' \(did you mean coop\?\)"),
        (("average", "coop+caspl"), r"has no number of coop\+caspl on average"),
    ],
)
def test_a_cell_that_is_not_there(make, asked, message):
    make([row for row in HALVES if row["method"] != "coop+caspl" or row["dataset"] == "a"], ask())
    with pytest.raises(UserError, match=message):
        cell(*asked)


def test_edited_figures_are_told_by_their_file(make):
    make(HALVES, ask())
    seeds = TABLE.with_name("t_seeds.csv")
    seeds.write_text(seeds.read_text().replace("71.0", "79.0"))
    assert [file.state for file in cell("a", "coop").files] == ["as recorded", "changed"]


def test_nothing_is_followed_from_metrics_that_are_others(make):
    """Their rows say where other numbers come from."""
    make(HALVES, ask())
    file = Path("results/metrics/any/all.json")
    file.write_text(file.read_text() + "\n")
    metrics = cell("a", "coop").runs[0].metrics
    assert (metrics.state, metrics.inputs) == ("changed", [])


def test_another_folder_than_the_workflows(make, tmp_path, monkeypatch):
    make(HALVES, ask())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="paths count from the folder that the workflow ran in"):
        trace_cell(tmp_path / TABLE, "a", "coop", None, CONFIG_DIR)


def test_a_table_without_its_configuration(make):
    make(HALVES, ask(), config=None)
    with pytest.raises(UserError, match=r"t_origin\.json holds no configuration, which says where files lie"):
        cell("a", "coop")


@pytest.mark.parametrize(
    ("place", "key", "message"),
    [
        (
            ["configuration", "jobs"],
            "thread",
            r"configuration: unknown key jobs\.thread \(did you mean threads\?\)",
        ),
        (["configuration", "backbones"], "studnt", r"configuration: unknown key backbones\.studnt "),
        ([], "comit", r"unknown key comit \(did you mean commit\?\)"),
    ],
)
def test_a_record_of_another_version(make, place, key, message):
    """The unknown key is named, and what helps."""
    make(HALVES, ask())
    path = TABLE.with_name("t_origin.json")
    record = json.loads(path.read_text())
    part = record
    for name in place:
        part = part[name]
    part[key] = 1
    path.write_text(json.dumps(record))
    helps = "the table was made by another version of this program, so make the table again"
    with pytest.raises(UserError, match=rf"t_origin\.json: {message}.*: {helps}\.$"):
        cell("a", "coop")


def test_a_table_without_its_record(tmp_path):
    with pytest.raises(UserError, match=r"t_origin.json does not exist, which says what t.csv was made from"):
        trace_cell(tmp_path / "t.csv", "a", "coop", None, CONFIG_DIR)
