"""Runs side by side in the terminal: what MLflow's own compare page shows."""

import difflib
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from rich.table import Table

from ..errors import UserError
from ..validation import listed
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
    hint = f"did you mean {listed(near, 'or')}?" if near else f"a key looks like {example}"
    raise UserError(f"There is no run {key} in {store} ({hint}).")


def comparison(runs: list[Run], *, everything: bool) -> Table:
    """A table of runs, a column each: details, parameters, metrics; with `everything` also tags.

    Without it only those parameters are shown that differ.  Every metric of a run after the first bears its
    difference to the first run's.
    """
    params = _rows(run.data.params for run in runs)
    shown = params if everything else params[params.fillna(_ABSENT).nunique(axis="columns") > 1]
    sections = {
        "Run": _rows(map(_details, runs)),
        "Parameters": shown.sort_index(),
        "Metrics": _with_differences(_rows(run.data.metrics for run in runs).sort_index()),
    }
    if everything:
        own = [{k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")} for run in runs]
        sections["Tags"] = _rows(own).sort_index()
    table = Table("", *(run.info.run_name for run in runs), caption_justify="left")
    equal = len(params) - len(shown)
    table.caption = f"{equal} parameters are equal: --all shows them." if equal else None
    for column in table.columns:
        column.overflow = "fold"  # a hash or a key is no use with its end cut off
    for heading, rows in sections.items():
        table.add_section()
        table.add_row(heading, style="bold")
        for row in rows.fillna(_ABSENT).itertuples(name=None):
            table.add_row(*row)
    return table


def _rows(values: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """A row for every name that a run has a value of, a column for each run; missing where it has none."""
    return pd.DataFrame(dict(enumerate(values)))


def _with_differences(metrics: pd.DataFrame) -> pd.DataFrame:
    """Values to six digits, all after the first with the difference to it."""
    texts = metrics.map("{:.6g}".format, na_action="ignore")
    differences = metrics.sub(metrics[0], axis="index").map(" ({:+.4g})".format, na_action="ignore")
    differences[0] = ""
    return texts + differences.fillna("")


def _details(run: Run) -> dict[str, str | None]:
    start, end = run.info.start_time, run.info.end_time
    return {
        "id": run.info.run_id,
        "imported": end and datetime.fromtimestamp(end / 1000).astimezone().isoformat(" ", "seconds"),
        "duration": end and f"{(end - start) / 1000:.1f} s",
    }
