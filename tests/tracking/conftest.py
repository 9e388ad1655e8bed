"""What the tests of tracking share: real results of a small run of the workflow."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from running import copy_project, run_snakemake
from small_results import JOBS, METRICS, TABLES

from promptdistill.tracking.content import Results, contents

SMALL = Path(__file__).parent / "small.yaml"
TRACKED = ("adapting", "benchmarks", "boosting", "metrics", "predictions", "splits", "tables")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """A project in which the small experiment has run, once for all workers of the tests; not to be changed.

    empty.db beside it is a store without runs, which takes seconds to make.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "tracked"
    with FileLock(f"{folder}.lock"):
        if not (folder / "empty.db").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            copy_project(folder)
            done = run_snakemake("--cores", 2, "--configfile", SMALL, cwd=folder)
            assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
            _make_empty_store(folder / "empty.db")
    return folder


def _make_empty_store(path):
    from mlflow import MlflowClient

    partial = path.with_suffix(".partial")
    MlflowClient(tracking_uri=f"sqlite:///{partial}").search_experiments()
    partial.rename(path)


@pytest.fixture
def results(finished, tmp_path, monkeypatch):
    """A copy of the results, below the current folder, with an empty store; its absolute path."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in TRACKED:
        shutil.copytree(finished / "results" / name, tmp_path / "results" / name)
    shutil.copy(finished / "empty.db", tmp_path / "results/mlflow.db")
    return tmp_path / "results"


@pytest.fixture
def found(results):
    """Reads what lies in the copy."""
    return lambda: contents(
        [results / name for name in TABLES], [results / name for name in METRICS], Results(results), JOBS
    )
