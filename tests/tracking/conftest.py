"""What the tests of tracking share: results of a small experiment, with numbers that are made up."""

import shutil

import pytest
from made_up_results import make_results
from small_results import small_experiment

from promptdistill.tracking.content import contents


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder with results, not to be changed.

    empty.db beside them is a store without runs, which takes seconds to make.
    """
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("finished")
    make_results(small_experiment(folder))
    MlflowClient(tracking_uri=f"sqlite:///{folder}/empty.db").search_experiments()
    return folder


@pytest.fixture
def results(finished, tmp_path, monkeypatch):
    """A copy of the results, below the current folder, with an empty store; its absolute path."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished / "results", tmp_path / "results")
    shutil.copy(finished / "empty.db", tmp_path / "results/mlflow.db")
    return tmp_path / "results"


@pytest.fixture
def found(results):
    """Reads what lies in the copy."""
    return lambda: contents(small_experiment(results.parent))
