"""An experiment of an MLflow store (not of this program): which of its runs count."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from ..errors import UserError
from .store import Store, few_retries

KEY = "promptdistill.key"
GENERATION = "promptdistill.generation"

# More than an experiment ever holds: a list in pages would miss runs when others are deleted meanwhile.
_ALL = 50_000


@dataclass(frozen=True, slots=True)
class MlflowExperiment:
    """One experiment of a store, open for reading and writing."""

    client: MlflowClient
    id: str

    def runs(self) -> list[Run]:
        """All runs that an import has made, finished or not, and that nobody has deleted."""
        return [run for run in self.client.search_runs([self.id], max_results=_ALL) if KEY in run.data.tags]

    def current(self) -> dict[str, Run]:
        """Key -> the finished run that counts."""
        return counting(self.runs())


def counting(runs: list[Run]) -> dict[str, Run]:
    """Key -> of its finished runs, the one that counts."""
    return {run.data.tags[KEY]: run for run in sorted(filter(is_finished, runs), key=_rank)}


def is_finished(run: Run) -> bool:
    """Whether an import has filled the run."""
    return run.info.status == RunStatus.to_string(RunStatus.FINISHED)


def _rank(run: Run) -> tuple[int, str]:
    return int(run.data.tags[GENERATION]), run.info.run_id


def open_experiment(store: Store) -> MlflowExperiment:
    """The experiment of a store; UserError if it is not there or was deleted."""
    client = MlflowClient(tracking_uri=store.uri)
    found = client.get_experiment_by_name(store.experiment)
    if found is None:
        raise UserError(
            f"{store.shown} has no experiment {store.experiment}: import results with track first."
        )
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        raise UserError(
            f"The experiment {store.experiment} of {store.shown} was deleted: restore it, or name another "
            "with MLFLOW_EXPERIMENT_NAME."
        )
    return MlflowExperiment(client, found.experiment_id)


def make_experiment(store: Store) -> None:
    """Make the experiment if it is not there; UserError if its artifacts would go somewhere else."""
    client = MlflowClient(tracking_uri=store.uri)
    location = str(store.artifacts) if store.artifacts else None
    with few_retries():
        found = client.get_experiment_by_name(store.experiment)
    if found is None:
        try:
            client.create_experiment(store.experiment, artifact_location=location)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):  # another import was faster
                raise
    elif location not in (None, found.artifact_location):
        raise UserError(
            f"{store.database} keeps its artifacts in {found.artifact_location}, not beside itself: if it "
            "was moved, move it back, or delete it and import the results again."
        )


@contextmanager
def plain_errors(store: Store) -> Iterator[None]:
    """Turn what MLflow raises into a UserError that names the store."""
    try:
        yield
    except MlflowException as error:
        said = str(error).splitlines()[0].replace(store.uri, store.shown)
        raise UserError(f"MLflow ({store}) says: {said}") from error
