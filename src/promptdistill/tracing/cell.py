"""A run, or one cell of a table with the runs behind it, and what each of them was made from."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..artifacts import INPUTS
from ..errors import UserError
from ..evaluation.metrics import read_metrics
from ..experiment import Experiment
from ..graph import Metrics
from ..protocols import PROTOCOLS, protocol_of
from ..report.record import read_record, record_path
from ..report.request import AVERAGE
from ..run import RunKey
from ..tracking.store import PREDICTIONS, few_retries, store_of
from ..validation import Strict, did_you_mean, listed
from .files import Files, TracedFile, differences, every


class ImportedRuns(NamedTuple):
    """Key -> id of the imported run that counts, and SHA-256 of its predictions (None: it was not kept).

    `why_none` says in a sentence why there are none, if known.
    """

    by_key: dict[str, tuple[str, str | None]]
    why_none: str | None = None


class TracedRun(Strict):
    """One run, its metrics in percent, the file that these stand in, and its predictions.

    `predictions` is None where the metrics are others than those of the table.  `mlflow` is the id of the
    imported run, if any; `mlflow_fits`: it has these predictions, None where that cannot be compared.
    `wrong` names the metrics that the predictions do not give.
    """

    key: str
    values: dict[str, float]
    mlflow: str | None
    mlflow_fits: bool | None
    metrics: TracedFile
    predictions: TracedFile | None
    wrong: list[str]


class Cell(Strict):
    """One cell of a table, and what the record of the table says.

    `values` holds the mean and standard deviation of each metric; `record` is the path of the table's record,
    which the configuration, commit and versions are from.
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

    @property
    def fits(self) -> bool:
        """Whether all files are those that were recorded, and the metrics those of the predictions."""
        return all(file.fits for file in self.all_files()) and not any(run.wrong for run in self.runs)

    def all_files(self) -> list[TracedFile]:
        """Every file of the trace, once."""
        own = [file for run in self.runs for file in (run.metrics, run.predictions) if file]
        return every([*(self.cell.files if self.cell else []), *own])


def trace_run(key: RunKey, experiment: Experiment) -> Trace:
    """Follow the metrics of a run down to the data's split; UserError if there are none."""
    path = experiment.results / Metrics(key.protocol, key.method).path
    rows = [row for row in read_metrics(path)[0] if row["key"] == str(key)]
    if not rows:
        raise UserError(
            f"{path} has no run {key}: run the workflow first, or name the configuration that has it."
        )
    files = Files(experiment)
    return _trace(None, {key: rows[0]}, files.at("metrics", path), files, experiment)


def trace_cell(table: Path, dataset: str, method: str, shots: int | None, config_dir: Path) -> Trace:
    """Follow a cell of a table's CSV file down to the data's split; `dataset` may be "average".

    `shots` are needed where the cell has several numbers.  Raises UserError if the table has no such cell, or
    if its files are not those of the folder that the workflow ran in.
    """
    record, experiment = read_record(table, config_dir)
    paths = [experiment.roots.locate(used) for used in record.inputs.values()]
    if not any(path.exists() for path in paths):
        raise UserError(
            f"No file of metrics that {table} was made from is here, such as {paths[0]}: paths count from "
            "the folder that the workflow ran in, so trace in that folder."
        )
    files = Files(experiment)
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
    chosen = _chosen(cells, dataset, method, shots, table)
    cell = Cell(
        table=table.name.removesuffix(".csv"),
        dataset=dataset,
        method=method,
        shots=int(chosen["shots"].iloc[0]),
        values={row.metric: (row.mean, None if pd.isna(row.std) else row.std) for row in chosen.itertuples()},
        record=str(record_path(table)),
        files=own,
        **record.model_dump(include={"config_sha256", "configuration", "commit", "versions"}),
    )
    datasets = record.datasets if dataset == AVERAGE else [dataset]
    rows = seeds[seeds["dataset"].isin(datasets) & (seeds["method"] == method)]
    rows = rows[rows["shots"] == cell.shots]
    # An average is over the seeds that all data sets have.
    rows = rows[rows.groupby("seed", dropna=False)["dataset"].transform("nunique") == len(datasets)]
    by_key = {}
    for row in rows.to_dict("records"):
        seed = None if pd.isna(row["seed"]) else int(row["seed"])
        by_key[RunKey(protocol_of(record.table).name, row["dataset"], method, cell.shots, seed)] = row
    metrics = files.input("metrics", record.inputs[f"metrics/{method}"])
    return _trace(cell, by_key, metrics, files, experiment)


def mlflow_runs(results: Path) -> ImportedRuns:
    """The runs of a folder of results, in its own store or that which MLFLOW_TRACKING_URI names.

    A store that does not answer is not an error here: all else of a trace lies on disk.
    """
    store = store_of(results)
    if store.database is not None and not store.database.is_file():
        return ImportedRuns({})
    from ..tracking.importing import open_experiment, plain_errors  # noqa: PLC0415 - MLflow takes seconds

    try:
        with plain_errors(store), few_retries():
            runs = open_experiment(store).current()
    except UserError as error:
        return ImportedRuns({}, str(error))
    return ImportedRuns({key: (run.info.run_id, run.data.tags.get(PREDICTIONS)) for key, run in runs.items()})


def _chosen(cells: pd.DataFrame, dataset: str, method: str, shots: int | None, table: Path) -> pd.DataFrame:
    """The rows of one cell; UserError where there is none, or several numbers of shots to choose from."""
    for column, value in (("dataset", dataset), ("method", method)):
        known = list(dict.fromkeys(cells[column]))
        if value not in known:
            raise UserError(f"{table} has no {column} {value!r}{did_you_mean(value, known)}.")
    own = cells[(cells["dataset"] == dataset) & (cells["method"] == method)]
    found = own["shots"].unique().tolist()
    if not found:
        raise UserError(f"{table} has no number of {method} on {dataset}.")
    there = listed(map(str, found))
    if shots is None and len(found) > 1:
        raise UserError(f"{table} has {method} on {dataset} with {there} shots: choose with --shots.")
    if shots not in (None, *found):
        raise UserError(f"{table} has no {method} on {dataset} with {shots} shots, but with {there}.")
    return own if shots is None else own[own["shots"] == shots]


def _trace(
    cell: Cell | None, rows: dict[RunKey, dict], metrics: TracedFile, files: Files, experiment: Experiment
) -> Trace:
    """The trace of some runs, whose rows hold the metrics that tables show."""
    header = files.header(Path(metrics.path)) if metrics.fits else None
    imported, runs = mlflow_runs(experiment.results), []
    for key, row in rows.items():
        shown = PROTOCOLS[key.protocol].metrics(experiment.settings(key.protocol))
        predictions = header and header[INPUTS].get(str(key))
        walked = predictions and files.walk(files.input("predictions", predictions))
        run_id, imported_from = imported.by_key.get(str(key), (None, None))
        run = TracedRun(
            key=str(key),
            values={metric.name: row[metric.name] for metric in shown if not metric.step},
            mlflow=run_id,
            mlflow_fits=imported_from == predictions.sha256 if run_id and predictions else None,
            metrics=metrics,
            predictions=walked,
            wrong=differences({**row, "key": str(key)}, walked, experiment) if walked and walked.fits else [],
        )
        runs.append(run)
    return Trace(cell=cell, no_mlflow=imported.why_none, runs=runs)
