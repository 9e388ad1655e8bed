"""A run, or one cell of a table with the runs behind it, and what each of them was made from."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..artifacts import INPUTS
from ..errors import UserError
from ..evaluation.metrics import read_metrics
from ..experiment import Experiment
from ..graph import Metrics
from ..protocols import PROTOCOLS, protocol_of
from ..report.record import TableRecord, read_record, record_path
from ..report.request import AVERAGE
from ..run import RunKey
from ..validation import Strict, did_you_mean
from .files import Files, TracedFile, every
from .runs import ImportedRuns, mlflow_runs


class TracedRun(Strict):
    """One run, its metrics in percent, the file that these stand in, and its predictions.

    `predictions` is None where the metrics are others than those of the table, whose rows say where other
    numbers come from.  `mlflow` is the id of the run that was imported, None if none was; `mlflow_fits` says
    whether it was imported with these predictions, None where that cannot be compared.
    """

    key: str
    values: dict[str, float]
    mlflow: str | None
    mlflow_fits: bool | None
    metrics: TracedFile
    predictions: TracedFile | None


class Cell(Strict):
    """One cell of a table, and what the record of the table says.

    `values` holds the mean and standard deviation of each metric, as in the table; `record` is the path of
    the table's record, `configuration` the whole experiment's, `commit` and `versions` those that the table
    was made with.
    """

    table: str
    dataset: str
    method: str
    shots: int
    values: dict[str, tuple[float, float | None]]
    record: str
    config_sha256: str
    configuration: dict[str, Any]
    commit: str
    versions: dict[str, str]
    files: list[TracedFile]


class Trace(Strict):
    """What a cell of a table, or (none) a single run was made from.

    `no_mlflow` says why no run is known, where MLflow did not answer or has no such experiment.
    """

    cell: Cell | None
    no_mlflow: str | None
    runs: list[TracedRun]

    def all_files(self) -> list[TracedFile]:
        """Every file of the trace, once."""
        own = [file for run in self.runs for file in (run.metrics, run.predictions) if file]
        return every([*(self.cell.files if self.cell else []), *own])


def trace_run(key: RunKey, experiment: Experiment) -> Trace:
    """Follow the metrics of a run down to the data's split; UserError if there are none."""
    path = experiment.results / Metrics(key.protocol, key.method).path
    rows, _ = read_metrics(path)
    row = next((row for row in rows if row["key"] == str(key)), None)
    if row is None:
        raise UserError(
            f"{path} has no run {key}: run the workflow first, or name the configuration that has it."
        )
    files, imported = Files(experiment.roots), mlflow_runs(experiment.results)
    run = _traced(key, _values(row, key, experiment), files.at("metrics", path), files, imported)
    return Trace(cell=None, no_mlflow=imported.why_none, runs=[run])


def trace_cell(table: Path, dataset: str, method: str, shots: int | None, config_dir: Path) -> Trace:
    """Follow a cell of a table's CSV file down to the data's split; `dataset` may be "average".

    `shots` are needed where the cell has several numbers.  Raises UserError if the table has no such cell, or
    if its files are not those of the folder that the workflow ran in.
    """
    record, experiment = read_record(table, config_dir)
    _require_results(record, experiment, table)
    files = Files(experiment.roots)
    own = [
        files.at("table", table.with_name(file.path), file.sha256)
        for file in record.files
        if not file.path.endswith("_gains.csv")
    ]
    for file in own:
        if not file.found:
            raise UserError(f"{file.path} does not exist: make the table again.")
    cells, seeds = (pd.read_csv(file.path, dtype={"seed": "Int64"}) for file in own)
    if "dataset" not in cells:  # an ablation has averages alone
        cells = cells.assign(dataset=AVERAGE, shots=record.shots[0])
    shots = _shots(cells, dataset, method, shots, table)
    chosen = (cells["dataset"] == dataset) & (cells["method"] == method) & (cells["shots"] == shots)
    cell = Cell(
        table=table.name.removesuffix(".csv"),
        dataset=dataset,
        method=method,
        shots=shots,
        values={
            row["metric"]: (row["mean"], None if pd.isna(row["std"]) else row["std"])
            for row in cells[chosen].to_dict("records")
        },
        record=str(record_path(table)),
        files=own,
        **record.model_dump(include={"config_sha256", "configuration", "commit", "versions"}),
    )
    datasets = record.datasets if dataset == AVERAGE else [dataset]
    rows = seeds[seeds["dataset"].isin(datasets) & (seeds["method"] == method) & (seeds["shots"] == shots)]
    # An average is over the seeds that all data sets have.
    rows = rows[rows.groupby("seed", dropna=False)["dataset"].transform("nunique") == len(datasets)]
    metrics = files.input("metrics", record.inputs[f"metrics/{method}"])
    imported = mlflow_runs(experiment.results)
    runs = []
    for row in rows.to_dict("records"):
        seed = None if pd.isna(row["seed"]) else int(row["seed"])
        key = RunKey(protocol_of(record.table).name, row["dataset"], method, shots, seed)
        runs.append(_traced(key, _values(row, key, experiment), metrics, files, imported))
    return Trace(cell=cell, no_mlflow=imported.why_none, runs=runs)


def _require_results(record: TableRecord, experiment: Experiment, table: Path) -> None:
    """UserError if none of the results that a table was made from is here."""
    paths = [experiment.roots.locate(used) for used in record.inputs.values()]
    if not any(path.exists() for path in paths):
        raise UserError(
            f"No file of metrics that {table} was made from is here, such as {paths[0]}: paths count from "
            "the folder that the workflow ran in, so trace in that folder."
        )


def _shots(cells: pd.DataFrame, dataset: str, method: str, shots: int | None, table: Path) -> int:
    """The number of shots of a cell; UserError where there is none, or more than one to choose from."""
    for column, value in (("dataset", dataset), ("method", method)):
        known = list(dict.fromkeys(cells[column]))
        if value not in known:
            raise UserError(f"{table} has no {column} {value!r}{did_you_mean(value, known)}.")
    found = cells[(cells["dataset"] == dataset) & (cells["method"] == method)]["shots"].unique().tolist()
    if not found:
        raise UserError(f"{table} has no number of {method} on {dataset}.")
    if shots is None and len(found) > 1:
        listed = ", ".join(map(str, found))
        raise UserError(f"{table} has {method} on {dataset} with {listed} shots: choose with --shots.")
    if shots not in (None, *found):
        listed = " and ".join(map(str, found))
        raise UserError(f"{table} has no {method} on {dataset} with {shots} shots, but with {listed}.")
    return found[0] if shots is None else shots


def _values(row: dict[str, Any], key: RunKey, experiment: Experiment) -> dict[str, float]:
    """The metrics of a run that tables show."""
    metrics = PROTOCOLS[key.protocol].metrics(experiment.settings(key.protocol))
    return {metric.name: row[metric.name] for metric in metrics if metric.in_table}


def _traced(
    key: RunKey, values: dict[str, float], metrics: TracedFile, files: Files, imported: ImportedRuns
) -> TracedRun:
    header = files.header(Path(metrics.path)) if metrics.fits else None
    predictions = header and header[INPUTS].get(str(key))
    there = imported.by_key.get(str(key))
    return TracedRun(
        key=str(key),
        values=values,
        mlflow=there and there.id,
        mlflow_fits=there.predictions == predictions.sha256 if there and predictions else None,
        metrics=metrics,
        predictions=predictions and files.walk(files.input("predictions", predictions)),
    )
