"""Where runs go: a SQLite file beside the results, or the server that MLFLOW_TRACKING_URI names."""

import getpass
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from filelock import FileLock

from ..errors import UserError

_NAMING = 3  # parts of a path: parent, project, results
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
# Tag of a run: hash of the file that its accuracies come from.  Here, where no import of MLflow is needed.
PREDICTIONS = "promptdistill.predictions"


def sqlite_uri(database: Path) -> str:
    """The address of a SQLite file, as SQLAlchemy reads it: as it is, up to a question mark."""
    if "?" not in str(database):
        return f"sqlite:///{database}"
    # With the driver named, since MLflow would make a folder `file:` for an address without.
    return f"sqlite+pysqlite:///file:{quote(str(database.absolute()))}?uri=true"


@dataclass(frozen=True, slots=True)
class Store:
    """An MLflow store, and the experiment in it that holds the runs of one folder of results."""

    uri: str
    experiment: str

    @property
    def database(self) -> Path | None:
        """The SQLite file, if it is one; the empty path if the runs would be held in memory alone."""
        scheme, _, rest = self.uri.partition("://")
        if scheme.partition("+")[0] != "sqlite":
            return None
        path, _, options = rest.partition("?")
        path = path[1:] if path.startswith("/") else ""  # another host, which SQLite knows none of
        if "uri=true" in options:
            path = unquote(path.removeprefix("file:"))
        return Path("" if path == ":memory:" or "mode=memory" in options else path)

    @property
    def artifacts(self) -> Path | None:
        """The folder of a SQLite store's artifacts, beside the file; a server knows its own."""
        return self.database and self.database.absolute().parent / "mlflow-artifacts"

    @property
    def shown(self) -> str:
        """The URI as it may be printed: without a password."""
        parts = urlsplit(self.uri)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else self.uri

    def __str__(self) -> str:
        return f"{self.shown}, experiment {self.experiment}"

    def locked(self) -> AbstractContextManager:
        """Hold a SQLite store for one process: several that make or write one file at once fail."""
        if self.database is None:
            return nullcontext()
        self.database.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self.database.resolve()}.lock")


def store_of(results: Path) -> Store:
    """The store of a folder of results; MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME win where set.

    The folder's own file has one experiment.  Elsewhere, where others import too, it is named after the user
    and the end of the folder's path, however that is spelt.  UserError for a SQLite store without a file.
    """
    uri, name = os.environ.get("MLFLOW_TRACKING_URI"), os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if not uri:
        return Store(sqlite_uri(results / "mlflow.db"), name or "promptdistill")
    path = Path(os.path.normpath(results.absolute()))
    store = Store(uri, name or "/".join((user(), *path.parts[1:][-_NAMING:])))
    if store.database == Path():
        raise UserError(
            f"MLFLOW_TRACKING_URI is {uri}, which names no file, so that all runs would be lost: write "
            "sqlite:////FOLDER/mlflow.db, or unset it for a file beside the results."
        )
    return store


def user() -> str:
    """The name of whoever runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return "unknown"


@contextmanager
def few_retries() -> Iterator[None]:
    """Let a server that cannot be reached be noticed in seconds, where MLflow would try for minutes."""
    own = os.environ.get(_RETRIES)
    os.environ[_RETRIES] = own or "2"
    try:
        yield
    finally:
        if own is None:
            del os.environ[_RETRIES]
