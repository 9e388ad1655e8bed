"""What the tests of tracing share: results of every kind, with numbers that are made up."""

import shutil

import pytest
from made_up_results import EVERY_KIND, experiment_in, make_results

from promptdistill import graph
from promptdistill.artifacts import Made, read_sealed, write_sealed
from promptdistill.config.schema import digest

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
        record = read_sealed(path)
        made = graph.named(Made.model_validate(record["made"])).made(own)
        record |= {"configuration": own.config.model_dump(mode="json"), "config_sha256": digest(own.config)}
        write_sealed(path, record | {"made": made.model_dump()})
    return own
