"""Where runs stand in MLflow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..tracking.store import PREDICTIONS, Store, few_retries, store_of


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """A run in MLflow, and the SHA-256 of the predictions that its accuracies come from.

    `predictions` is None for a run that was imported by a version which did not keep it.
    """

    id: str
    predictions: str | None


@dataclass(frozen=True, slots=True)
class ImportedRuns:
    """Key -> the imported run that counts; `why_none` says in a sentence why there are none, if known."""

    by_key: dict[str, ImportedRun] = field(default_factory=dict)
    why_none: str | None = None


def mlflow_runs(results: Path) -> ImportedRuns:
    """The runs of a folder of results, in its own store or that which MLFLOW_TRACKING_URI names.

    A store that does not answer is not an error here: all else of a trace lies on disk.
    """
    store = store_of(results)
    if store.database is not None and not store.database.is_file():
        return ImportedRuns()
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow takes seconds
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from ..tracking.mlflow_experiment import open_experiment  # noqa: PLC0415

    try:
        with few_retries():
            runs = open_experiment(store).current()
    except UserError as error:  # there is no such experiment, or it was deleted
        return ImportedRuns(why_none=str(error))
    except (MlflowException, SQLAlchemyError, ImportError) as error:  # the last: of a database's driver
        return ImportedRuns(why_none=f"{store} did not answer: {_cause(error, store)}.")
    return ImportedRuns(
        {key: ImportedRun(run.info.run_id, run.data.tags.get(PREDICTIONS)) for key, run in runs.items()}
    )


def _cause(error: BaseException, store: Store) -> str:
    """What the system said, such as "Connection refused", or else the first line of the error."""
    said = [cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror]
    text = said[-1] if said else str(error).strip().splitlines()[0]
    return text.replace(store.uri, store.shown).rstrip(".")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
