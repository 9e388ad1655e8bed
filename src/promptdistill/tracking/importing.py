"""Bringing runs into MLflow: once each, whoever else imports at the same time.

MLflow gives no transactions and no unique names, so an import is made of steps that any number of processes
may take in any order, and be killed between.  A run counts once it is finished; until then others overlook
it.  Of several finished runs of one key the one that ended last counts, and of those the one of the highest
id.  A run ends after those that it replaces, whatever the clocks say.  When an import has finished its runs,
it deletes those that do not count, and looks again until there are none: the last import to finish sees the
runs of all.  A file has one import at a time, so what is unfinished in it was left by one that was killed.
"""

import glob
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.utils import mlflow_tags
from mlflow.utils.validation import MAX_DATASET_DIGEST_SIZE, MAX_ENTITIES_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH
from sqlalchemy.exc import SQLAlchemyError

from ..errors import UserError
from ..files import atomic
from ..progress import progress
from ..provenance import commit
from .content import Content, table_key
from .store import Store, few_retries, sqlite_uri, user

KEY = "promptdistill.key"
CONTENT = "promptdistill.content"
_TABLE = "promptdistill.table"
_BEGUN = "promptdistill.begun"

# More than an experiment ever holds: a list in pages would miss runs when others are deleted meanwhile.
_ALL = 50_000

# A run is filled in seconds.  One that a server holds unfinished for so long was left by a process that died.
_DEAD_AFTER_SECONDS = 3600
_POINTS_PER_BATCH = MAX_ENTITIES_PER_BATCH - MAX_PARAMS_TAGS_PER_BATCH


class MlflowExperiment(NamedTuple):
    """An experiment of a store (not of this program), open for reading and writing."""

    client: MlflowClient
    id: str

    def runs(self) -> list[Run]:
        """All runs that an import has made, finished or not, and that nobody has deleted."""
        return [run for run in self.client.search_runs([self.id], max_results=_ALL) if KEY in run.data.tags]

    def current(self) -> dict[str, Run]:
        """Key -> the finished run that counts."""
        return _counting(self.runs())


def _counting(runs: list[Run]) -> dict[str, Run]:
    finished = filter(_is_finished, runs)
    ranked = sorted(finished, key=lambda run: (run.info.end_time, run.info.run_id))
    return {run.data.tags[KEY]: run for run in ranked}


def _is_finished(run: Run) -> bool:
    return run.info.status == RunStatus.to_string(RunStatus.FINISHED)


def client_of(store: Store) -> MlflowClient:
    """A client of a store that is there; UserError if its file is missing, damaged or half-made."""
    if store.database is not None:
        _require_sound(store.database)
    return MlflowClient(tracking_uri=store.uri)


def _require_sound(database: Path) -> None:
    """UserError unless a SQLite file can be read whole, and has what MLflow makes last: an experiment."""
    if not database.is_file():
        raise UserError(
            f"There is no MLflow store {database}: import results with track first, or name a server with "
            "MLFLOW_TRACKING_URI."
        )
    try:
        # To be written, since what a killed process began may have to be rolled back.
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=rw", uri=True)) as connection:
            ((fault,),) = connection.execute("PRAGMA quick_check(1)")
            made = connection.execute("SELECT 1 FROM experiments LIMIT 1").fetchall()
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN):
            raise UserError(f"{database} cannot be opened: {error}.") from error
        fault, made = str(error), True
    if fault != "ok" or not made:
        fault = " ".join(fault.split()) if made else "it has no experiment"
        raise UserError(
            f"{database} is damaged, or was left half-made by a killed run ({fault}): move it and the folder "
            "mlflow-artifacts beside it away, and import the results again with track."
        )


def _make_database(database: Path) -> None:
    """Let MLflow make a SQLite file, which takes seconds; it is there whole or not at all."""
    for left in database.parent.glob(f".{glob.escape(database.name)}.*.partial*"):  # by a killed import
        left.unlink()
    with atomic(database) as partial:
        MlflowClient(tracking_uri=sqlite_uri(partial)).search_experiments()


def open_experiment(store: Store, *, make: bool = False) -> MlflowExperiment:
    """The experiment of a store; one that is not there is an error, or is made with what it needs.

    UserError also if it was deleted, or if what is imported would go into another folder.
    """
    if make and store.database and not (store.database.is_file() and store.database.stat().st_size):
        _make_database(store.database)
    client = client_of(store)
    with few_retries():
        found = client.get_experiment_by_name(store.experiment)
    if found is None and make:
        # MLflow takes even a plain path for a part of a URI.
        location = quote(str(store.artifacts)) if store.artifacts else None
        try:
            client.create_experiment(store.experiment, artifact_location=location)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):  # another import was faster
                raise
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
    if make and store.artifacts and unquote(found.artifact_location) != str(store.artifacts):
        raise UserError(
            f"{store.database} keeps its artifacts in {found.artifact_location}, not beside itself: if it "
            "was moved, move it back, or delete it and import the results again."
        )
    return MlflowExperiment(client, found.experiment_id)


@contextmanager
def plain_errors(store: Store) -> Iterator[None]:
    """Turn what MLflow, a database or its missing driver raises into a UserError that names the store."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError) as error:
        said = _cause(error).replace(store.uri, store.shown).rstrip(".")
        raise UserError(f"MLflow ({store}) says: {said}.") from error


def _cause(error: BaseException) -> str:
    """What the system said, such as "Connection refused", or else the first line of the error."""
    said, cause = str(error).strip().splitlines()[0], error
    while cause is not None:
        said = (isinstance(cause, OSError) and cause.strerror) or said
        cause = cause.__cause__ or cause.__context__
    return said


def import_runs(contents: list[Content], store: Store) -> dict[str, Any]:
    """Bring runs into a store and return a receipt: where they are, and what was done to how many.

    `contents` holds a table's run before those that are nested under it.  A run whose content is there
    already is left as it is; one with other content replaces it.  Raises UserError if the store cannot be
    used.
    """
    with plain_errors(store), store.locked():
        experiment = open_experiment(store, make=True)
        done = _write_changed(contents, experiment)
        runs = settle(experiment, alone=store.database is not None)
    return {
        "store": store.shown,
        "experiment": store.experiment,
        "done": done,
        "runs": {c.key: runs[c.key].info.run_id for c in contents if c.key in runs},
    }


def _write_changed(contents: list[Content], experiment: MlflowExperiment) -> dict[str, int]:
    """Write the runs that are not there with this content; how many were new, replaced and unchanged."""
    there = experiment.current()
    # Who imported a run with what is not part of its content.
    origin = {
        mlflow_tags.MLFLOW_USER: user(),
        mlflow_tags.MLFLOW_SOURCE_NAME: "promptdistill track",
        mlflow_tags.MLFLOW_GIT_COMMIT: commit(),
    }
    parents: dict[str, str] = {}
    done = Counter(new=0, replaced=0, unchanged=0)
    with progress(len(contents), "importing", "run") as bar:
        for content in contents:
            old, sha256 = there.get(content.key), content.sha256
            if old is not None and old.data.tags[CONTENT] == sha256:
                run_id = old.info.run_id
                done["unchanged"] += 1
            else:
                parent = parents.get(content.table)
                tags = {
                    **origin,
                    **content.tags,
                    **({mlflow_tags.MLFLOW_PARENT_RUN_ID: parent} if parent else {}),
                    KEY: content.key,
                    _TABLE: content.table,
                    CONTENT: sha256,
                }
                run_id = _write(content, experiment, tags, after=old.info.end_time if old else 0)
                done["new" if old is None else "replaced"] += 1
            parents.setdefault(content.table, run_id)  # a table's own run comes first
            bar.update()
    return dict(done)


def _write(content: Content, experiment: MlflowExperiment, tags: dict[str, str], after: int) -> str:
    """Make a run and finish it, later than a time in milliseconds; a failure half-way deletes it again."""
    client, now = experiment.client, max(int(1000 * time.time()), after + 1)
    # The run lasts as long as its training took, and ends now.
    start = now - round(1000 * content.seconds)
    run = client.create_run(experiment.id, start, tags | {_BEGUN: str(now)}, content.key)
    run_id = run.info.run_id
    try:
        _log_values(client, run_id, content, now)
        _log_datasets(client, run_id, content)
        for name, path in content.files.items():
            client.log_artifact(run_id, path, name.rpartition("/")[0] or None)
        client.set_terminated(run_id, end_time=now)
    except BaseException:
        client.delete_run(run_id)
        raise
    return run_id


def _log_values(client: MlflowClient, run_id: str, content: Content, now: int) -> None:
    """All parameters and metrics, in as few requests as MLflow allows."""
    metrics = [Metric(point.name, point.value, now, point.step) for point in content.points]
    params = [Param(name, value) for name, value in content.params.items()]
    for start in range(0, max(len(metrics), 1), _POINTS_PER_BATCH):
        client.log_batch(run_id, metrics[start : start + _POINTS_PER_BATCH], params if start == 0 else [])


def _log_datasets(client: MlflowClient, run_id: str, content: Content) -> None:
    inputs = []
    for use in content.datasets:
        dataset = Dataset(
            name=use.name,
            digest=use.split_sha256[:MAX_DATASET_DIGEST_SIZE],
            source_type="local",
            source=json.dumps({"uri": use.split}),
            profile=json.dumps({"split_sha256": use.split_sha256}),
        )
        inputs.append(DatasetInput(dataset, [InputTag(mlflow_tags.MLFLOW_DATASET_CONTEXT, use.context)]))
    try:
        client.log_inputs(run_id, inputs)
    except MlflowException as error:
        # Another import brought the same data set in between MLflow's look and its insert; it is there now.
        if error.error_code != ErrorCode.Name(BAD_REQUEST):
            raise
        client.log_inputs(run_id, inputs)


def settle(experiment: MlflowExperiment, *, alone: bool) -> dict[str, Run]:
    """Delete what does not count and nest what does under its table; key -> run, when nothing is left to do.

    Unless it is alone, others may do the same at the same time, so after every change it looks again.
    """
    client = experiment.client
    while True:
        runs = experiment.runs()
        current = _counting(runs)
        ids = {key: run.info.run_id for key, run in current.items()}
        needless = [
            run.info.run_id
            for run in runs
            if run.info.run_id not in ids.values() and (alone or _is_finished(run) or _is_dead(run))
        ]
        misplaced = list(_misplaced(current, ids))
        if not needless and not misplaced:
            return current
        for run_id in needless:
            client.delete_run(run_id)  # no error, if another import has done so
        for run_id, parent_id in misplaced:
            try:
                client.set_tag(run_id, mlflow_tags.MLFLOW_PARENT_RUN_ID, parent_id)
            except MlflowException:
                if client.get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE:
                    raise  # not because another import has deleted it meanwhile


def _is_dead(run: Run) -> bool:
    return int(run.data.tags[_BEGUN]) < 1000 * (time.time() - _DEAD_AFTER_SECONDS)


def _misplaced(current: dict[str, Run], ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Ids of runs that are not nested under the run of their table, each with that run's."""
    for key, run in current.items():
        parent = ids.get(table_key(run.data.tags[_TABLE]))
        if parent not in (None, ids[key], run.data.tags.get(mlflow_tags.MLFLOW_PARENT_RUN_ID)):
            yield ids[key], parent
