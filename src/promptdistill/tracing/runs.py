"""Where a run stands in MLflow."""

import importlib.util
import os
from pathlib import Path

from ..errors import UserError

KEY = "promptdistill.key"  # a tag of every imported run


def run_key(protocol: str, dataset: str, method: str, shots: int, seed: int | None) -> str:
    """The name of a run: "base_to_novel/dtd/coop/16/1"; "-" for the seed where nothing learns."""
    return f"{protocol}/{dataset}/{method}/{shots}/{'-' if seed is None else seed}"


def mlflow_run(key: str, results: Path) -> str | None:
    """The id of the newest finished run with a key; None if MLflow, a store, or such a run is not there.

    The store is the one that MLFLOW_TRACKING_URI names, else mlflow.db in the folder of results.  The
    experiment is called after this folder, with a user before it or not, or as MLFLOW_EXPERIMENT_NAME says.
    """
    file = results / "mlflow.db"
    store = os.environ.get("MLFLOW_TRACKING_URI") or (f"sqlite:///{file}" if file.is_file() else None)
    if store is None or importlib.util.find_spec("mlflow") is None:
        return None
    from mlflow import MlflowClient  # noqa: PLC0415 - it takes seconds, and few have a store
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or results.as_posix()
    try:
        client = MlflowClient(store)
        own = [one for one in client.search_experiments() if f"/{one.name}".endswith(f"/{name}")]
        found = own and client.search_runs(
            [experiment.experiment_id for experiment in own],
            f"tags.`{KEY}` = '{key}' and attributes.status = 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
    except MlflowException as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The MLflow store could not be asked ({reason}): start its server, or unset MLFLOW_TRACKING_URI."
        ) from None
    return found[0].info.run_id if found else None
