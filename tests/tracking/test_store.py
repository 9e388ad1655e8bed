"""Where runs go, by folder and environment."""

import subprocess
import sys
from pathlib import Path

import pytest

from promptdistill.tracking import store
from promptdistill.tracking.store import store_of

RESULTS = Path("results/paper")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)


def test_by_default_a_file_beside_the_results():
    own = store_of(RESULTS)
    assert own.uri == "sqlite:///results/paper/mlflow.db"
    assert own.artifacts == Path.cwd() / "results/paper/mlflow-artifacts"
    assert str(own) == "sqlite:///results/paper/mlflow.db, experiment promptdistill"


def test_a_server_wins_and_keeps_users_and_folders_apart(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.org:5000")
    monkeypatch.setattr(store, "user", lambda: "ada")
    (tmp_path / "home/first").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home/first")
    own = store_of(Path("results"))
    assert (own.uri, own.experiment) == ("http://example.org:5000", "ada/home/first/results")
    assert (own.database, own.artifacts) == (None, None)
    assert store_of(tmp_path / "home/first/results") == store_of(Path("../first/results")) == own
    assert store_of(tmp_path / "home/second/results").experiment == "ada/home/second/results"


def test_a_named_experiment_wins(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.org:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    assert store_of(RESULTS).experiment == "ours"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://ada:secret@example.org/path", "https://example.org/path"),
        ("postgresql://ada:secret@example.org:5432/db", "postgresql://example.org:5432/db"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
    ],
)
def test_passwords_are_not_shown(monkeypatch, uri, shown):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert store_of(RESULTS).shown == shown
    assert "secret" not in str(store_of(RESULTS))


def test_few_retries_are_for_a_moment(monkeypatch):
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    monkeypatch.delenv(name, raising=False)
    with store.few_retries():
        assert store.os.environ[name] == "2"
    assert name not in store.os.environ
    monkeypatch.setenv(name, "5")
    with store.few_retries():
        assert store.os.environ[name] == "5"


def test_only_tracking_imports_mlflow():
    """Which takes seconds; the workflow and all other commands do without."""
    code = "import sys, promptdistill.cli, promptdistill.tracking.store; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
