"""Bringing runs into MLflow: once each, whoever else imports at the same time.

MLflow gives no transactions and no unique names, so an import is made of steps that any number of processes
may take in any order.  A run counts once it is finished; until then others overlook it.  Of several finished
runs of one key the one of the highest generation counts, and of one generation that of the highest id.  A run
that replaces others takes the next generation.  When an import has finished its runs, it deletes those that
do not count, and looks again until there are none: the last import to finish sees the runs of all.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.utils import mlflow_tags
from mlflow.utils.validation import MAX_DATASET_DIGEST_SIZE, MAX_ENTITIES_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH

from ..errors import UserError
from ..progress import progress
from ..provenance import commit
from .content import Content, table_key
from .store import Store, few_retries, user

KEY = "promptdistill.key"
CONTENT = "promptdistill.content"
_TABLE = "promptdistill.table"
_GENERATION = "promptdistill.generation"
_BEGUN = "promptdistill.begun"

# More than an experiment ever holds: a list in pages would miss runs when others are deleted meanwhile.
_ALL = 50_000

# A run is filled in seconds.  One that is unfinished for so long was left by a process that died.
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
    ranked = sorted(
        filter(_is_finished, runs), key=lambda run: (int(run.data.tags[_GENERATION]), run.info.run_id)
    )
    return {run.data.tags[KEY]: run for run in ranked}


def _is_finished(run: Run) -> bool:
    return run.info.status == RunStatus.to_string(RunStatus.FINISHED)


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


def import_runs(contents: list[Content], store: Store) -> dict[str, Any]:
    """Bring runs into a store and return a receipt: where they are, and what was done to how many.

    `contents` holds a table's run before those that are nested under it.  A run whose content is there
    already is left as it is; one with other content replaces it.  Raises UserError if the store cannot be
    used.
    """
    with plain_errors(store), store.locked():
        make_experiment(store)
        experiment = open_experiment(store)
        done, runs = _write_changed(contents, experiment), settle(experiment)
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
                    _GENERATION: str(int(old.data.tags[_GENERATION]) + 1 if old else 0),
                }
                run_id = _write(content, experiment, tags)
                done["new" if old is None else "replaced"] += 1
            parents.setdefault(content.table, run_id)  # a table's own run comes first
            bar.update()
    return dict(done)


def _write(content: Content, experiment: MlflowExperiment, tags: dict[str, str]) -> str:
    """Make a run and finish it; a failure half-way deletes it again."""
    client, now = experiment.client, int(1000 * time.time())
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


def settle(experiment: MlflowExperiment) -> dict[str, Run]:
    """Delete what does not count and nest what does under its table; key -> run, when nothing is left to do.

    Others may do the same at the same time, so after every change it looks again.
    """
    client = experiment.client
    while True:
        runs = experiment.runs()
        current = _counting(runs)
        deleted, nested = _needless(runs, current), _misplaced(current)
        if not deleted and not nested:
            return current
        for run_id in deleted:
            with _unless_gone(client, run_id):
                client.delete_run(run_id)
        for run_id, parent_id in nested:
            with _unless_gone(client, run_id):
                client.set_tag(run_id, mlflow_tags.MLFLOW_PARENT_RUN_ID, parent_id)


def _needless(runs: list[Run], current: dict[str, Run]) -> list[str]:
    """Finished runs that another counts for, and unfinished ones whose import died."""
    counted = {run.info.run_id for run in current.values()}
    dead = 1000 * (time.time() - _DEAD_AFTER_SECONDS)
    return [
        run.info.run_id
        for run in runs
        if run.info.run_id not in counted and (_is_finished(run) or int(run.data.tags[_BEGUN]) < dead)
    ]


def _misplaced(current: dict[str, Run]) -> list[tuple[str, str]]:
    """Runs that are not nested under the run of their table, and that run."""
    ids = {key: run.info.run_id for key, run in current.items()}
    found = []
    for run in current.values():
        own, parent = run.info.run_id, ids.get(table_key(run.data.tags[_TABLE]))
        if parent not in (None, own, run.data.tags.get(mlflow_tags.MLFLOW_PARENT_RUN_ID)):
            found.append((own, parent))
    return found


@contextmanager
def _unless_gone(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Overlook that a run cannot be changed, if another import has deleted it meanwhile."""
    try:
        yield
    except MlflowException:
        if client.get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE:
            raise
