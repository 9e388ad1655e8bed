"""Where runs stand in MLflow."""

from pathlib import Path

from ..errors import UserError
from ..tracking.store import few_retries, store_of


def mlflow_runs(results: Path) -> dict[str, str]:
    """Key -> the id of the imported run that counts; none where nothing was imported.

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
        return {key: run.info.run_id for key, run in experiment.current().items()}
