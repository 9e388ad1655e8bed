"""Which runs stand behind a cell, from the table's own record; the predictions here do not exist."""

import json
from pathlib import Path

import pytest
from report_runs import FEW, HALVES, TRANSFER, ask

from promptdistill.errors import UserError
from promptdistill.report.origin import write_origin
from promptdistill.report.render import write_table
from promptdistill.tracing.cell import trace_cell
from promptdistill.tracing.runs import mlflow_run, run_key

CONFIG_DIR = Path(__file__).parents[2] / "config"
TABLE = Path("results/tables/t.csv")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function that makes a table from metrics, in the folder where the test then runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def write(metrics, request):
        file = Path("results/metrics/any/all.json")
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(metrics))
        write_table(metrics, request, TABLE.with_suffix(""))
        write_origin(TABLE.with_suffix(""), request, {file: list(request.titles)}, None, "abc")

    return write


def cell(dataset, method, shots=None):
    return trace_cell(TABLE, dataset, method, shots, CONFIG_DIR)


def test_a_cell_has_its_seeds(make):
    make(HALVES, ask())
    trace = cell("a", "coop")
    assert (trace.table, trace.shots, trace.config_sha256) == ("base_to_novel", 16, "abc")
    assert [run.seed for run in trace.runs] == [1, 2, 3]
    assert [run.figures["base"] for run in trace.runs] == [71, 72, 73]
    assert trace.figures["base"] == (72, 1)
    assert trace.runs[0].key == "base_to_novel/a/coop/16/1"
    assert [file.state for file in trace.files] == ["as recorded"] * 2


def test_predictions_are_looked_for_where_the_table_says(make):
    make(HALVES, ask())
    (file,) = cell("a", "coop").runs[1].metrics.inputs
    assert (file.path, file.recorded, file.state) == ("a/coop/16/2.parquet", "b" * 64, "missing")


def test_an_average_has_the_runs_of_all_data_sets(make):
    make(HALVES, ask())
    runs = cell("average", "coop").runs
    assert [(run.dataset, run.seed) for run in runs] == [(name, seed) for name in "ab" for seed in (1, 2, 3)]


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


def test_a_table_without_its_record(tmp_path):
    with pytest.raises(UserError, match=r"t_origin.json does not exist, which says what t.csv was made from"):
        trace_cell(tmp_path / "t.csv", "a", "coop", None, CONFIG_DIR)


def test_without_a_store_no_run_was_imported(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert mlflow_run(run_key("few_shot", "a", "coop", 4, 1), tmp_path) is None


@pytest.mark.parametrize("user", ["", "someone/"])
def test_a_run_is_found_by_its_key(tmp_path, monkeypatch, user):
    """The newest finished one, in the experiment of the folder of results."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    names = (f"{user}{tmp_path.as_posix()}", "other")
    own, other = (client.create_experiment(name, str(tmp_path)) for name in names)

    def run(key, where=own, start=0, finished=True):
        run_id = client.create_run(where, start, tags={"promptdistill.key": key}).info.run_id
        if finished:
            client.set_terminated(run_id)
        return run_id

    keys = [run_key("few_shot", "a", "coop+caspl", shots, 1) for shots in (1, 4)]
    runs = {key: run(key, start=10) for key in keys}
    run(keys[0], start=5)
    run(keys[0], start=20, finished=False)
    run(keys[0], other, start=30)
    assert {key: mlflow_run(key, tmp_path) for key in keys} == runs
    assert mlflow_run(run_key("few_shot", "b", "coop", 4, 1), tmp_path) is None


def test_a_server_that_does_not_answer(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the discard port
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match="The MLflow store could not be asked"):
        mlflow_run(run_key("few_shot", "a", "coop", 4, 1), tmp_path)
