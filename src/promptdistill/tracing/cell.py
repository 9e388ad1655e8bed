"""One cell of a table: its number, the runs behind it, and what each of them was made from."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UserError
from ..files import read_json
from ..report.origin import Origin, origin_path, read_configuration, read_origin
from ..report.request import AVERAGE, KINDS
from ..tracking.content import key_of
from ..validation import Strict, did_you_mean
from .artifacts import Tracer
from .files import TracedFile
from .runs import ImportedRun, mlflow_runs


class TracedRun(Strict):
    """One run behind a cell: its figures in percent, as the table has them, and the metrics they are from.

    `mlflow` is the id of the run that was imported, None if none was; `mlflow_fits` says whether it was
    imported with these predictions, None where that cannot be compared.
    """

    dataset: str
    seed: int | None
    figures: dict[str, float]
    key: str
    mlflow: str | None
    mlflow_fits: bool | None
    metrics: TracedFile


class Trace(Strict):
    """What a cell was made from.

    `figures` holds the mean and standard deviation of each, as in the table; `origin` is the path of the
    table's record, `configuration` the whole experiment's, `commit` and `versions` those that the table was
    made with.  `no_mlflow` says why no run is known, where MLflow did not answer or has no such experiment.
    """

    table: str
    dataset: str
    method: str
    shots: int
    figures: dict[str, tuple[float, float | None]]
    origin: str
    config_sha256: str
    configuration: dict[str, Any]
    commit: str
    versions: dict[str, str]
    files: list[TracedFile]
    no_mlflow: str | None
    runs: list[TracedRun]

    def all_files(self) -> list[TracedFile]:
        """Every file of the trace, as often as it was used."""
        tops = [*self.files, *(run.metrics for run in self.runs)]
        return [file for top in tops for file in top.all()]


def trace_cell(table: Path, dataset: str, method: str, shots: int | None, config_dir: Path) -> Trace:
    """Follow a cell of a table's CSV file down to the data's split; `dataset` may be "average".

    `shots` are needed where the cell has several numbers.  Raises UserError if the table has no such cell, or
    if its files are not those of the folder that the workflow ran in.
    """
    origin = read_origin(table)
    tracer = Tracer(config=read_configuration(origin, table), config_dir=config_dir)
    _require_results(origin, table)
    files = [
        tracer.file("table", table.with_name(file.path), file.sha256)
        for file in origin.files
        if not file.path.endswith("_gains.csv")
    ]
    for file in files:
        if not file.found:
            raise UserError(f"{file.path} does not exist: make the table again.")
    cells, seeds = (pd.read_csv(file.path, dtype={"seed": "Int64"}) for file in files)
    if "dataset" not in cells:  # an ablation has averages alone
        cells = cells.assign(dataset=AVERAGE, shots=origin.shots[0])
    shots = _shots(cells, dataset, method, shots, table)
    chosen = (cells["dataset"] == dataset) & (cells["method"] == method) & (cells["shots"] == shots)
    datasets = origin.datasets if dataset == AVERAGE else [dataset]
    runs = seeds[seeds["dataset"].isin(datasets) & (seeds["method"] == method) & (seeds["shots"] == shots)]
    # An average is over the seeds that all data sets have.
    runs = runs[runs.groupby("seed", dropna=False)["dataset"].transform("nunique") == len(datasets)]
    imported = mlflow_runs(tracer.root)
    return Trace(
        table=table.name.removesuffix(".csv"),
        dataset=dataset,
        method=method,
        shots=shots,
        figures={
            row["figure"]: (row["mean"], None if pd.isna(row["std"]) else row["std"])
            for row in cells[chosen].to_dict("records")
        },
        origin=str(origin_path(table)),
        config_sha256=origin.config_sha256,
        configuration=origin.configuration,
        commit=origin.commit,
        versions=origin.versions,
        files=files,
        no_mlflow=imported.why_none,
        runs=[_run(row, origin, tracer, imported.by_key) for row in runs.to_dict("records")],
    )


def _require_results(origin: Origin, table: Path) -> None:
    """UserError if none of the results that a table was made from is here."""
    paths = [Path(file.path) for file in origin.metrics]
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


def _run(row: dict[str, Any], origin: Origin, tracer: Tracer, imported: dict[str, ImportedRun]) -> TracedRun:
    """The run of one row of TABLE_seeds.csv; `imported` holds MLflow's runs by their keys."""
    kind = KINDS[origin.kind]
    seed = None if pd.isna(row["seed"]) else int(row["seed"])
    key = key_of(kind.protocol, row["dataset"], row["method"], row["shots"], seed)
    metrics = _metrics(row["method"], row["predictions"], origin, tracer)
    there = imported.get(key)
    return TracedRun(
        dataset=row["dataset"],
        seed=seed,
        figures={figure: row[figure] for figure in kind.figures},
        key=key,
        mlflow=there and there.id,
        mlflow_fits=there and _fits(there, metrics),
        metrics=metrics,
    )


def _fits(run: ImportedRun, metrics: TracedFile) -> bool | None:
    """Whether a run was imported with the predictions behind some metrics; None if these are not known."""
    return any(file.recorded == run.predictions for file in metrics.inputs) if metrics.inputs else None


def _metrics(method: str, predictions: str, origin: Origin, tracer: Tracer) -> TracedFile:
    """The file of metrics that a run's figures stand in, and its predictions."""
    files = [file for file in origin.metrics if method in file.methods]
    traced = [
        _row(tracer.file("metrics", Path(file.path), file.sha256), predictions, tracer) for file in files
    ]
    return next((file for file in traced if file.inputs), traced[0])


def _row(file: TracedFile, predictions: str, tracer: Tracer) -> TracedFile:
    if not file.fits:
        return file
    rows = [row for row in read_json(Path(file.path)) if row["predictions"] == predictions]
    inputs = [tracer.predictions(Path(row["predictions"]), row["predictions_sha256"]) for row in rows]
    return file.model_copy(update={"inputs": inputs})
