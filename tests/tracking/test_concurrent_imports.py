"""Eight imports at the same moment, each a process of its own: nothing is lost and nothing there twice."""

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers import mlflow_server, postgres_binaries, postgres_server, without_mlflow_settings
from services import absent
from small_results import COOP, KEYS, write_history

from promptdistill.tracking.importing import import_runs, open_experiment
from promptdistill.tracking.store import Store

HERE = Path(__file__).parent
IMPORTS = 8


@contextmanager
def sqlite_file(folder):
    """No server: all write one file, which nobody has made yet."""
    yield f"sqlite:///{folder}/own.db"


@contextmanager
def server_on_postgres(folder):
    if postgres_binaries() is None:
        absent("PostgreSQL is not installed")
    with postgres_server() as database, mlflow_server(folder, database) as uri:
        yield uri


STORES = [sqlite_file, mlflow_server, server_on_postgres]


def import_at_once(what, folders, store):
    """Import each folder's results in a process of its own, all at the same moment; their receipts.

    The "whole" of them in each process, or "parts", of which no two have a result in common.
    """
    environment = without_mlflow_settings() | {
        "MLFLOW_TRACKING_URI": store.uri,
        "MLFLOW_EXPERIMENT_NAME": store.experiment,
    }
    command = [sys.executable, HERE / "import_at_once.py", what, *folders]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout)


def assert_each_key_once(store):
    """One finished run a key, complete and under its table's run."""
    runs = open_experiment(store).runs()
    assert sorted(run.data.tags["promptdistill.key"] for run in runs) == sorted(KEYS)
    assert {run.info.status for run in runs} == {"FINISHED"}
    by_key = {run.data.tags["promptdistill.key"]: run for run in runs}
    for key, run in by_key.items():
        if not key.startswith("table/"):
            table = by_key[f"table/{run.data.tags['promptdistill.table']}"]
            assert run.data.tags["mlflow.parentRunId"] == table.info.run_id
            assert len(run.inputs.dataset_inputs) == 1
    return by_key


@pytest.mark.parametrize("opened", STORES)
def test_eight_imports_of_the_same_results(opened, results, tmp_path, found):
    with opened(tmp_path) as uri:
        store = Store(uri, "same")
        receipts = import_at_once("whole", [results] * IMPORTS, store)
        runs = assert_each_key_once(store)
        assert {json.dumps(receipt["runs"]) for receipt in receipts} >= {
            json.dumps({content.key: runs[content.key].info.run_id for content in found()})
        }
        for content in found():
            assert runs[content.key].data.params == content.params
            last = {point.name: point.value for point in content.points}
            assert runs[content.key].data.metrics == last
            client = open_experiment(store).client
            there = {
                artifact.path
                for folder in ("", "prompt", "boosting")
                for artifact in client.list_artifacts(runs[content.key].info.run_id, folder)
                if not artifact.is_dir
            }
            assert there == set(content.files)
        again = import_runs(found(), store)
        assert again["done"] == {"new": 0, "replaced": 0, "unchanged": len(KEYS)}


@pytest.mark.parametrize("opened", STORES)
def test_eight_imports_of_different_results_lose_none(opened, results, tmp_path):
    """Each process has results that no other has, so a lost one would be missed."""
    with opened(tmp_path) as uri:
        store = Store(uri, "parts")
        receipts = import_at_once("parts", [results] * IMPORTS, store)
        runs = assert_each_key_once(store)
        own = [{key for key in receipt["runs"] if not key.startswith("table/")} for receipt in receipts]
        assert sum(map(len, own)) == len(KEYS) - 2
        for receipt, keys in zip(receipts, own, strict=True):
            assert {key: receipt["runs"][key] for key in keys} == {key: runs[key].info.run_id for key in keys}


def test_imports_of_different_results_leave_one_of_them(results, tmp_path, found):
    """Of what two imports disagree on, one is there, whole; the next import decides."""
    other = tmp_path / "other/results"
    shutil.copytree(results, other)
    (tmp_path / "other/results/mlflow.db").unlink()
    write_history(other, [{"epoch": 0, "lr": 0.5, "loss": 0.25}])
    with mlflow_server(tmp_path) as uri:
        store = Store(uri, "different")
        import_at_once("whole", [results, other] * (IMPORTS // 2), store)
        run = assert_each_key_once(store)[COOP]
        own = next(content for content in found() if content.key == COOP)
        lasts = [{point.name: point.value for point in own.points}["training/loss"], 0.25]
        assert run.data.metrics["training/loss"] in lasts
        import_runs(found(), store)
        assert assert_each_key_once(store)[COOP].data.metrics["training/loss"] == lasts[0]
