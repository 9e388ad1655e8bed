"""Where runs stand in MLflow."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..tracking.store import PREDICTIONS, few_retries, store_of


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """A run in MLflow, and the SHA-256 of the predictions that its accuracies come from.

    `predictions` is None for a run that was imported by a version which did not keep it.
    """

    id: str
    predictions: str | None


def mlflow_runs(results: Path) -> dict[str, ImportedRun]:
    """Key -> the imported run that counts; none where nothing was imported.

    Raises UserError if the store that MLFLOW_TRACKING_URI names does not answer.
    """
    store = store_of(results)
    if store.database is not None and not store.database.is_file():
        return {}
    from ..tracking.experiment import open_experiment, plain_errors  # noqa: PLC0415 - MLflow takes seconds

    with plain_errors(store), few_retries():
        try:
            experiment = open_experiment(store)
        except UserError:  # there is no such experiment
            return {}
        return {
            key: ImportedRun(run.info.run_id, run.data.tags.get(PREDICTIONS))
            for key, run in experiment.current().items()
        }
