"""What runs hold, read from the results on disk: one run a result of a table, and one a table.

Where a run's files lie is followed from its metrics, by the inputs that every artifact names.
"""

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..artifacts import INPUTS, Input, history_path, read_sealed
from ..errors import UserError
from ..evaluation.metrics import read_metrics
from ..experiment import Experiment
from ..files import sha256, sha256_of_json
from ..graph import Table, Tracking
from ..integrity import require
from ..protocols import PROTOCOLS, TABLES, protocol_of
from ..protocols.base import Metric
from ..report.overview import read_table
from ..report.request import AVERAGE
from ..run import RunKey
from ..tracing.files import Files
from .store import PREDICTIONS

_SHORT = 12  # of a hash, to compare by; the prompt's header holds the whole
_TABLE_FORMS = (".csv", "_seeds.csv", "_gains.csv", ".png", ".html")


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric; `step` counts epochs or sessions, or shots in a table."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """A data set that a run was trained on, tested on, or both, known by its split."""

    name: str
    split: str
    split_sha256: str
    context: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Everything that one MLflow run holds and that a reader of the results would notice a change of.

    `key` names it among all runs of an experiment, `table` the table that it is nested under.  `files` are
    artifacts by their path in the run.  `seconds` is the run's share of its training job.
    """

    key: str
    table: str
    params: dict[str, str]
    points: list[Point]
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path]
    datasets: list[DatasetUse] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sha256(self) -> str:
        """Hash over all of it, the bytes of the files included."""
        parts = asdict(self) | {"files": {name: sha256(path) for name, path in self.files.items()}}
        return sha256_of_json(parts)


def table_key(table: str) -> str:
    """The name of a table's own run."""
    return f"table/{table}"


def contents(experiment: Experiment) -> list[Content]:
    """A table's own run, then those of its results, table by table; a result stands in its first table only.

    Raises UserError where files are missing or damaged, or are not what one another was made from.
    """
    files = Files(experiment)
    found: dict[str, Content] = {}
    for table in Tracking().inputs(experiment)["tables"]:
        require(table, experiment)
        own = _table(table, experiment)
        found[own.key] = own
        shown = {experiment.source(protocol_of(table.table).name), *experiment.tested(table.table)}
        for metrics in table.inputs(experiment)["metrics"]:
            rows, predictions = read_metrics(experiment.results / metrics.path)
            for row in rows:
                if row["dataset"] in shown and row["key"] not in found:
                    used = predictions[row["key"]]
                    found[row["key"]] = _result(table.table, row, used, files, experiment)
    return list(found.values())


def _table(table: Table, experiment: Experiment) -> Content:
    """A table's own run: its averages over data sets, and its files."""
    path, layout = (experiment.results / table.path).with_suffix(""), TABLES[table.table]
    cells = read_table(path.with_suffix(".csv"))
    complete = cells[(cells["dataset"] == AVERAGE) & ~cells["partial"].astype(bool)]
    metrics = _metrics(experiment, protocol_of(table.table).name)
    return Content(
        key=table_key(table.table),
        table=table.table,
        params={
            "datasets": ", ".join(name for name in cells["dataset"].unique() if name != AVERAGE),
            "methods": ", ".join(cells["method"].unique()),
        },
        points=[_average(cell, layout.curve, metrics) for cell in complete.to_dict("records")],
        tags={"mlflow.note.content": f"{layout.title}. {layout.about}"},
        files={f"{path.name}{ending}": Path(f"{path}{ending}") for ending in _TABLE_FORMS},
    )


def _average(cell: dict[str, Any], curve: str | None, metrics: dict[str, Metric]) -> Point:
    """One average; a point of a curve over shots or sessions, where the table has one."""
    point = _point(metrics[cell["metric"]], cell["mean"])
    # MLflow takes no other signs in the name of a metric, such as the plus of +caspl.
    method = re.sub(r"[^\w.-]", "-", cell["method"], flags=re.ASCII)
    step = cell["shots"] if curve == "shots" else point.step
    return Point(f"average/{point.name}/{method}", point.value, step)


def _metrics(experiment: Experiment, protocol: str) -> dict[str, Metric]:
    """The metrics of a protocol, by name."""
    metrics = PROTOCOLS[protocol].metrics(experiment.settings(protocol))
    return {metric.name: metric for metric in metrics}


def _point(metric: Metric, value: float) -> Point:
    """A metric; a point of a curve, such as accuracy_3, is that of "accuracy" at step 3."""
    return Point(metric.name.removesuffix(f"_{metric.step}"), value, metric.step)


def _result(table: str, row: dict[str, Any], used: Input, files: Files, experiment: Experiment) -> Content:
    """One method's result on one data set, of one number of shots and one seed."""
    key = RunKey.parse(row["key"])
    path, predictions = _require("predictions", used, files, "the metrics")
    inputs = predictions[INPUTS]
    prompt, points, own, seconds = None, [], {}, 0.0
    params = {
        **{name: row[name] for name in ("method", "dataset", "protocol", "shots", "student")},
        "student_sha256": row["student_sha256"][:_SHORT],
        **_flat("versions", predictions["versions"]),
    }
    if "prompt" in inputs:
        file, prompt = _require("prompt", inputs["prompt"], files, f"{path}")
        measured = _measured(key._replace(dataset=row["source"]), experiment)
        points = [*_curves(history_path(file)), *measured]
        seconds = next((p.value for p in measured if p.name == "job/seconds_per_run"), 0.0)
        own = {f"prompt/{file.name}": file}
        params |= _params_of_training(prompt)
        if "boosting" in prompt[INPUTS]:
            boosting, header = _require("boosting prompt", prompt[INPUTS]["boosting"], files, f"{file}")
            params |= _flat("boosting", header["hyperparameters"])
            own[f"boosting/{boosting.name}"] = boosting
    metrics = _metrics(experiment, key.protocol)
    transductive = {"promptdistill.transductive": row["transductive"]} if row["transductive"] else {}
    return Content(
        key=row["key"],
        table=table,
        params={name: str(value) for name, value in params.items()},
        points=[*(_point(metric, row[name]) for name, metric in metrics.items()), *points],
        tags={PREDICTIONS: used.sha256} | transductive,
        files=own,
        datasets=_datasets(row["dataset"], inputs["split"], prompt),
        seconds=seconds,
    )


def _require(what: str, used: Input, files: Files, maker: str) -> tuple[Path, dict[str, Any]]:
    """Path and header of a file; UserError unless it is the one that a later result was made from."""
    file = files.input(what, used)
    if file.state == "missing":
        raise UserError(f"{file.path} does not exist: run the workflow first.")
    header = files.header(Path(file.path)) if file.fits else None
    if header is None:
        raise UserError(f"{file.path} is not the {what} that {maker} came from: run the workflow again.")
    return Path(file.path), header


def _params_of_training(prompt: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: prompt[name] for name in ("seed", "template", "precision", "threads")},
        "trained_on": prompt["dataset"],
        "classes": len(prompt["sessions"][-1]),
        **{f"{name}_sha256": used.sha256[:_SHORT] for name, used in prompt[INPUTS].items()},
        **_flat("regions", prompt["regions"] or {}),
        **_flat("hyperparameters", prompt["hyperparameters"]),
        **_flat("versions", prompt["versions"]),
    }


def _flat(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _curves(history: Path) -> list[Point]:
    """Loss and learning rate over epochs, of all sessions, or what was tried one after the other."""
    return [
        Point(f"training/{name}", value, row.get("epoch", index) if "session" not in row else index)
        for index, row in enumerate(read_sealed(history)["rows"])
        for name, value in row.items()
        if name not in ("epoch", "session")
    ]


def _measured(run: RunKey, experiment: Experiment) -> list[Point]:
    """Time and memory of the whole training job, which may have trained several runs, and the mean time.

    Nothing where the job is unknown or was not measured.
    """
    folder = experiment.results / "benchmarks/adapting" / run.protocol / run.dataset / run.method
    for group in experiment.job_groups:
        path = folder / f"{group.index}.tsv"
        if group.protocol == run.protocol and (run.shots, run.seed) in group.runs and path.is_file():
            last = pd.read_csv(path, sep="\t").iloc[-1]
            values = {
                "job/runs": len(group.runs),
                "job/seconds": last["s"],
                "job/seconds_per_run": last["s"] / len(group.runs),
                "job/peak_memory_mb": last["max_rss"],
            }
            return [Point(name, float(value)) for name, value in values.items() if pd.notna(value)]
    return []


def _datasets(dataset: str, split: Input, prompt: dict[str, Any] | None) -> list[DatasetUse]:
    # Paths count from the folder of results: the same results have the same hash elsewhere.
    tested = DatasetUse(dataset, split.path, split.sha256, "testing")
    if prompt is None:
        return [tested]
    used = prompt[INPUTS]["split"]
    if (prompt["dataset"], used.sha256) == (dataset, split.sha256):
        return [replace(tested, context="training and testing")]  # MLflow keeps one input a data set
    return [DatasetUse(prompt["dataset"], used.path, used.sha256, "training"), tested]
