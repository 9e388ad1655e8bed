"""Runs are found in the store that `promptdistill track` fills."""

import subprocess
import sys

import pytest
from mlflow import MlflowClient

from promptdistill.run import RunKey
from promptdistill.tracing.cell import mlflow_runs
from promptdistill.tracking.content import Content
from promptdistill.tracking.store import store_of

KEYS = [str(RunKey("few_shot", "a", "coop+caspl", shots, 1)) for shots in (1, 4)]


@pytest.fixture(autouse=True)
def beside_the_results(monkeypatch):
    """The SQLite file, whatever a developer has set."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def imported(results, predictions=None, **params):
    """The receipt of an import of a table's run and one for each key, from predictions of this hash."""
    from promptdistill.tracking.importing import import_runs

    tags = {"promptdistill.predictions": predictions} if predictions else {}
    shared = {"table": "few_shot", "points": [], "files": {}, "params": params, "tags": tags}
    return import_runs([Content(key=key, **shared) for key in ("table/few_shot", *KEYS)], store_of(results))


def test_the_runs_that_count(tmp_path):
    """Those of the receipt, also after another import has replaced them."""
    first, second = (imported(tmp_path, value=value)["runs"] for value in "ab")
    assert first != second
    found = mlflow_runs(tmp_path)
    assert {key: run_id for key, (run_id, _) in found.by_key.items()} == second
    assert set(KEYS) < set(found.by_key)
    assert found.why_none is None


def test_what_a_run_was_imported_from(tmp_path):
    """None is known of a run without the tag, which earlier versions imported."""
    imported(tmp_path)
    assert mlflow_runs(tmp_path).by_key[KEYS[0]][1] is None
    imported(tmp_path, predictions="c" * 64)
    assert mlflow_runs(tmp_path).by_key[KEYS[0]][1] == "c" * 64


def test_another_experiment_has_none_of_them(tmp_path, monkeypatch):
    imported(tmp_path)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    found = mlflow_runs(tmp_path)
    assert found.by_key == {}
    assert found.why_none.endswith(" has no experiment other: import results with track first.")


def test_a_deleted_experiment(tmp_path):
    imported(tmp_path)
    store = store_of(tmp_path)
    client = MlflowClient(tracking_uri=store.uri)
    client.delete_experiment(client.get_experiment_by_name(store.experiment).experiment_id)
    found = mlflow_runs(tmp_path)
    assert found.by_key == {}
    assert f"The experiment {store.experiment} of " in found.why_none
    assert " was deleted: restore it, " in found.why_none


def test_without_a_store_mlflow_is_not_imported(tmp_path):
    code = (
        "import sys, pathlib, promptdistill.tracing.cell as cell;"
        f"print(cell.mlflow_runs(pathlib.Path({str(tmp_path)!r})).by_key, 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["{}", "False"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://127.0.0.1:9", "Connection refused."),  # the discard port
        ("http://someone:secret@127.0.0.1:9", "Connection refused."),
        ("nothing://of/this/kind", "unsupported URI"),
    ],
)
def test_a_server_that_does_not_answer(tmp_path, monkeypatch, address, why):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    found = mlflow_runs(tmp_path)
    assert found.by_key == {}
    assert found.why_none.startswith(f"MLflow ({store_of(tmp_path)})")
    assert " says: " in found.why_none
    assert why in found.why_none
    assert "secret" not in found.why_none


def test_a_file_that_is_no_database(tmp_path):
    store_of(tmp_path).database.write_bytes(b"not a database" * 100)
    assert (
        "mlflow.db is damaged, or was left half-made by a killed run (file is not a database): move it"
        in mlflow_runs(tmp_path).why_none
    )
