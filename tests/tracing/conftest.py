"""What the tests of tracing share: results of every kind, with numbers that are made up."""

import json
import shutil

import pytest
from made_up_results import EVERY_KIND, experiment_in, make_results

from promptdistill.config.schema import digest
from promptdistill.files import write_json

DATASETS = ["mini_patterns", "mini_emblems"]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with results; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    make_results(experiment_in(folder, EVERY_KIND, datasets=DATASETS))
    return folder


@pytest.fixture
def experiment(made, tmp_path, monkeypatch):
    """The experiment of a copy of the results, whose records say where it lies; no store of MLflow is set."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    shutil.copytree(made / "results", tmp_path / "results")
    own = experiment_in(tmp_path, EVERY_KIND, datasets=DATASETS)
    for path in tmp_path.glob("results/tables/*_record.json"):
        record = json.loads(path.read_text())
        record["configuration"], record["config_sha256"] = (
            own.config.model_dump(mode="json"),
            digest(own.config),
        )
        write_json(path, record)
    return own
