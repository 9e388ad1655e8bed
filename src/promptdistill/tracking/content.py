"""What runs hold, read from the results on disk: one run a result of a table, and one a table."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..clip.prompt_file import Header, load_prompt
from ..config import Training
from ..errors import UserError
from ..evaluation.metrics import read_predictions
from ..files import read_json, sha256, sha256_of_json
from ..layout import ADAPTING, BOOSTING, RUN, SPLIT, boosting_kind, name_of_runs
from ..report.request import AVERAGE, KINDS
from ..training.stages import history_path
from .store import PREDICTIONS

# The runs, (shots, seed), of every training job of a protocol, in the jobs' order.
Jobs = dict[Training, list[list[tuple[int, int]]]]

_SHORT = 12  # of a hash, to compare by; the prompt's header holds the whole
_TABLE_FORMS = (".csv", "_seeds.csv", "_gains.csv", ".png", ".html")


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric; `step` counts epochs, or shots in a table."""

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


@dataclass(frozen=True, slots=True)
class Results:
    """A folder of results, as the workflow lays it out; every file is hashed once."""

    folder: Path
    _hashes: dict[Path, str] = field(default_factory=dict)

    def prompt(self, row: dict[str, Any]) -> Path:
        """The prompt of a tested run: it lies under the data set that it was learned on."""
        return self._of_training(ADAPTING, row) / f"{RUN.format(**row)}.safetensors"

    def boosting(self, row: dict[str, Any]) -> Path:
        """The boosting prompt that a run's prompt was cascaded on."""
        kind = boosting_kind(row["protocol"])
        return self.folder / BOOSTING.format(dataset=row["source"], kind=kind)

    def benchmark(self, row: dict[str, Any], runs: list[tuple[int, int]]) -> Path:
        """Snakemake's measurements of the job that trained these runs."""
        return self._of_training(f"benchmarks/{ADAPTING}", row) / f"{name_of_runs(runs)}.tsv"

    def split(self, dataset: str) -> Path:
        """The checked split of a data set."""
        return self.folder / SPLIT.format(dataset=dataset)

    def sha256(self, path: Path) -> str:
        """Hash of a file, which many runs may share; UserError if it is missing."""
        if path not in self._hashes:
            if not path.is_file():
                raise UserError(f"{path} does not exist: run the workflow first.")
            self._hashes[path] = sha256(path)
        return self._hashes[path]

    def require(self, path: Path, expected: str, maker: str, remedy: str) -> None:
        """UserError unless a file is the one that a later result was made from."""
        if self.sha256(path) != expected:
            raise UserError(f"{path} is not the file that {maker} came from: {remedy}.")

    def _of_training(self, folder: str, row: dict[str, Any]) -> Path:
        return self.folder / folder.format(**row | {"dataset": row["source"]})


def key_of(protocol: str, dataset: str, method: str, shots: int, seed: int | None) -> str:
    """The name of a run: "base_to_novel/mini_shapes/coop/16/1"; "-" for the seed where nothing learns."""
    return f"{protocol}/{dataset}/{method}/{shots}/{'-' if seed is None else seed}"


def table_key(table: str) -> str:
    """The name of a table's own run."""
    return f"table/{table}"


def contents(tables: list[Path], metrics: list[Path], results: Results, jobs: Jobs) -> list[Content]:
    """A table's own run, then those of its results, table by table; a result stands in its first table only.

    `tables` are paths without ending, `metrics` the files that the tables were made from.  Raises UserError
    where files are missing or damaged, or are not what one another was made from.
    """
    rows = {_key(row): row for file in metrics for row in read_json(file)}
    found: dict[str, Content] = {}
    for table in tables:
        own = _table(table)
        found[own.key] = own
        for key in _keys_of(table):
            if key not in rows:
                raise UserError(
                    f"{table}_seeds.csv holds {key}, which is in none of the metrics files: name its file "
                    "too, or make the table again."
                )
            if key not in found:
                found[key] = _result(key, table.name, rows[key], results, jobs)
    return list(found.values())


def _key(row: dict[str, Any]) -> str:
    return key_of(*(row[part] for part in ("protocol", "dataset", "method", "shots", "seed")))


def _keys_of(table: Path) -> Iterator[str]:
    for row in _read_csv(Path(f"{table}_seeds.csv")).itertuples():
        seed = None if pd.isna(row.seed) else int(row.seed)
        yield key_of(KINDS[table.name].protocol, row.dataset, row.method, row.shots, seed)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: make this table first.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"{path} is not a table of this program, or is damaged: make it again.") from None


def _table(path: Path) -> Content:
    """A table's own run: its averages over data sets, and its files."""
    if path.name not in KINDS:
        raise UserError(f"{path}: there is not a table {path.name!r}: choose one of {', '.join(KINDS)}.")
    cells = _read_csv(Path(f"{path}.csv"))
    complete = cells[(cells["dataset"] == AVERAGE) & ~cells["partial"].astype(bool)]
    return Content(
        key=table_key(path.name),
        table=path.name,
        params={
            "datasets": ", ".join(name for name in cells["dataset"].unique() if name != AVERAGE),
            "methods": ", ".join(cells["method"].unique()),
        },
        points=[_average(cell) for cell in complete.to_dict("records")],
        tags={"mlflow.note.content": f"{KINDS[path.name].title}. {KINDS[path.name].about}"},
        files={f"{path.name}{ending}": Path(f"{path}{ending}") for ending in _TABLE_FORMS},
    )


def _average(cell: dict[str, Any]) -> Point:
    """One average; a point of a curve over shots in a few-shot table."""
    step = cell["shots"] if cell["figure"] == "accuracy" else 0
    # MLflow takes no other signs in the name of a metric, such as the plus of +caspl.
    method = re.sub(r"[^\w.-]", "-", cell["method"], flags=re.ASCII)
    return Point(f"average/{cell['figure']}/{method}", cell["mean"], step)


def _result(key: str, table: str, row: dict[str, Any], results: Results, jobs: Jobs) -> Content:
    """One method's result on one data set, of one number of shots and one seed."""
    predictions = Path(row["predictions"])
    _, origin = read_predictions(predictions)
    results.require(predictions, row["predictions_sha256"], "the metrics", "make them again")
    header, points, files, seconds = None, [], {}, 0.0
    if row["shots"]:
        prompt = results.prompt(row)
        results.require(prompt, origin["prompt_sha256"], "the predictions", "test it again")
        header = load_prompt(prompt)[1]
        measured = _measured(row, results, jobs)
        points = [*_curves(history_path(prompt)), *measured]
        seconds = next((p.value for p in measured if p.name == "job/seconds_per_run"), 0.0)
        files = {f"prompt/{prompt.name}": prompt}
    params = _params(row, origin, header)
    if header and header.boosting_sha256:
        boosting = results.boosting(row)
        results.require(boosting, header.boosting_sha256, f"{results.prompt(row)}", "train that again")
        params |= _flat("boosting", load_prompt(boosting)[1].hyperparameters)
        files[f"boosting/{boosting.name}"] = boosting
    return Content(
        key=key,
        table=table,
        params={name: str(value) for name, value in params.items()},
        points=[*(Point(name, row[name]) for name in KINDS[table].figures), *points],
        tags={PREDICTIONS: row["predictions_sha256"]} | _transductive(row),
        files=files,
        datasets=_datasets(row, header, results),
        seconds=seconds,
    )


def _transductive(row: dict[str, Any]) -> dict[str, str]:
    """A tag for what saw the test images while it learned, or nothing."""
    return {"promptdistill.transductive": row["transductive"]} if row["transductive"] else {}


def _params(row: dict[str, Any], origin: dict[str, Any], header: Header | None) -> dict[str, Any]:
    """What a run was made with.  A method that learns nothing has no more than its predictions say."""
    params = {name: row[name] for name in ("method", "dataset", "protocol", "shots")}
    params |= {"student": row["student"], "student_sha256": row["student_sha256"][:_SHORT]}
    if header is None:
        return params | _flat("versions", origin["versions"])
    hashes = {
        name: value[:_SHORT]
        for name in ("split_sha256", "draw_sha256", "boosting_sha256", "lookup_sha256", "teacher_sha256")
        if (value := getattr(header, name))
    }
    return {
        **params,
        "seed": header.seed,
        "trained_on": header.dataset,
        "classes": len(header.class_names),
        "template": header.template,
        "precision": header.precision,
        "threads": header.threads,
        **hashes,
        **_flat("regions", header.regions.model_dump() if header.regions else {}),
        **_flat("hyperparameters", header.hyperparameters),
        **_flat("versions", header.versions),
    }


def _flat(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _curves(history: Path) -> list[Point]:
    """Loss and learning rate over epochs, or what was tried one after the other."""
    return [
        Point(f"training/{name}", value, row.get("epoch", number))
        for number, row in enumerate(read_json(history))
        for name, value in row.items()
        if name != "epoch"
    ]


def _measured(row: dict[str, Any], results: Results, jobs: Jobs) -> list[Point]:
    """Time and memory of the whole training job, which may have trained several runs, and the mean time.

    Nothing where the job is unknown or was not measured.
    """
    run = [row["shots"], row["seed"]]
    for own in jobs.get(row["protocol"], []):
        path = results.benchmark(row, own)
        if run in [list(one) for one in own] and path.is_file():
            last = pd.read_csv(path, sep="\t").iloc[-1]
            values = {
                "job/runs": len(own),
                "job/seconds": last["s"],
                "job/seconds_per_run": last["s"] / len(own),
                "job/peak_memory_mb": last["max_rss"],
            }
            return [Point(name, float(value)) for name, value in values.items() if pd.notna(value)]
    return []


def _datasets(row: dict[str, Any], header: Header | None, results: Results) -> list[DatasetUse]:
    def use(name: str, split_sha256: str, context: str) -> DatasetUse:
        # Not from where the results lie: the same results have the same hash elsewhere.
        return DatasetUse(name, str(results.split(name).relative_to(results.folder)), split_sha256, context)

    tested = use(row["dataset"], results.sha256(results.split(row["dataset"])), "testing")
    if header is None:
        return [tested]
    trained = use(header.dataset, header.split_sha256, "training")
    if (trained.name, trained.split_sha256) == (tested.name, tested.split_sha256):
        return [replace(tested, context="training and testing")]  # MLflow keeps one input a data set
    return [trained, tested]
