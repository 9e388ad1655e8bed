"""Runs side by side in the terminal: what MLflow's own compare page shows."""

import difflib
import re
from collections.abc import Callable
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from rich.table import Table

from ..errors import UserError
from .importing import client_of, open_experiment, plain_errors
from .store import Store, few_retries

_ABSENT = "-"


def find_runs(names: tuple[str, ...], store: Store) -> list[Run]:
    """The runs of some ids or keys, in order; UserError for a name that is neither."""
    if len(set(names)) < max(2, len(names)):
        raise UserError("Name two runs at least to compare, each once, by id or by key.")
    with plain_errors(store), few_retries():
        client = client_of(store)
        keys = [name for name in names if not re.fullmatch(r"[0-9a-f]{32}", name)]
        current = open_experiment(store).current() if keys else {}
        return [
            _by_key(name, current, store) if name in keys else _by_id(name, client, store) for name in names
        ]


def _by_id(run_id: str, client: MlflowClient, store: Store) -> Run:
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        raise UserError(f"{store.shown} has no run of the id {run_id}.") from None


def _by_key(key: str, current: dict[str, Run], store: Store) -> Run:
    if key in current:
        return current[key]
    near = difflib.get_close_matches(key, current, n=3)
    example = max(sorted(current), key=lambda name: name.count("/"), default="base_to_novel/dtd/coop/16/1")
    hint = f"did you mean {' or '.join(near)}?" if near else f"a key looks like {example}"
    raise UserError(f"There is no run {key} in {store} ({hint}).")


def comparison(runs: list[Run], *, everything: bool) -> Table:
    """A table of runs, a column each: details, parameters, metrics; with `everything` also tags.

    Without it only those parameters are shown that differ.  Every metric of a run after the first bears its
    difference to the first run's.
    """
    params = _rows([run.data.params for run in runs], _text)
    shown = {name: cells for name, cells in params.items() if everything or len(set(cells)) > 1}
    equal = len(params) - len(shown)
    table = Table("", *(run.info.run_name for run in runs), caption_justify="left")
    table.caption = f"{equal} parameters are equal: --all shows them." if equal else None
    for column in table.columns:
        column.overflow = "fold"  # a hash or a key is no use with its end cut off
    details = {
        "id": [run.info.run_id for run in runs],
        "imported": [_time(run.info.end_time) for run in runs],
        "duration": [_duration(run) for run in runs],
    }
    _section(table, "Run", details)
    _section(table, "Parameters", shown)
    _section(table, "Metrics", _rows([run.data.metrics for run in runs], _number))
    if everything:
        own = [{k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")} for run in runs]
        _section(table, "Tags", _rows(own, _text))
    return table


def _section(table: Table, heading: str, rows: dict[str, list[str]]) -> None:
    table.add_section()
    table.add_row(heading, style="bold")
    for name, cells in rows.items():
        table.add_row(name, *cells)


def _rows(values: list[dict], cell: Callable[[list], list[str]]) -> dict[str, list[str]]:
    """Name -> a cell for each run, of every name that a run has."""
    names = sorted({name for own in values for name in own})
    return {name: cell([own.get(name) for own in values]) for name in names}


def _text(values: list[str | None]) -> list[str]:
    return [_ABSENT if value is None else value for value in values]


def _number(values: list[float | None]) -> list[str]:
    """Values to six digits, all after the first with the difference to it."""
    first = values[0]
    texts = _text([value if value is None else f"{value:.6g}" for value in values])
    for index, value in enumerate(values[1:], 1):
        if first is not None and value is not None:
            texts[index] += f" ({value - first:+.4g})"
    return texts


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return _ABSENT
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().isoformat(" ", "seconds")


def _duration(run: Run) -> str:
    start, end = run.info.start_time, run.info.end_time
    return _ABSENT if end is None else f"{(end - start) / 1000:.1f} s"
