"""From one row a run to one row a cell: means over seeds, averages over data sets, published numbers."""

from collections.abc import Iterable
from io import StringIO
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UserError
from ..evaluation.metrics import FACTS
from ..files import read_text
from ..validation import listed
from .request import AVERAGE, Request

KEYS = (*FACTS, "images", "predictions")
# What a method knew of a data set beforehand -> its mark, and what that says; the stronger one last.
TRANSDUCTIVE = {
    "class names": "‡ The method knew the names of all classes of the data set, and saw no image of it.",
    "images and class names": "† The method saw unlabelled images of the data set and the names of all its "
    "classes.",
}
COLUMNS = (
    "dataset method title shots metric mean std seeds partial transductive published difference outside"
).split()


def select(metrics: list[dict[str, Any]], request: Request) -> pd.DataFrame:
    """The runs that belong in the table, one row each, with the keys of `metrics` as columns.

    Left out are other protocols, data sets, methods, sources, shots and seeds; a method that learns
    nothing (0 shots) needs no seed.  Raises UserError for rows that lack something, if no run is left,
    if the runs are not of one student, or if one run stands there twice.
    """
    for row in metrics:
        if missing := [key for key in KEYS if key not in row]:
            where = row.get("predictions", "a row")
            raise UserError(f"The metrics of {where} lack {', '.join(missing)}: make the metrics again.")
    runs = [row for row in metrics if _belongs(row, request)]
    if not runs:
        raise UserError(
            f"The metrics hold no {request.protocol} result of these data sets, methods, shots "
            "and seeds: nothing to tabulate."
        )
    for row in runs:
        _check(row, request)
    _require_consistent(runs)
    frame = pd.DataFrame(runs)
    return frame.astype({"seed": "Int64", "shots": int} | dict.fromkeys(request.names, float))


def _belongs(row: dict[str, Any], request: Request) -> bool:
    return (
        row["protocol"] == request.protocol
        and row["dataset"] in request.shown
        and row["method"] in request.titles
        and (row["shots"] == 0 or (row["shots"] in request.shots and row["seed"] in request.seeds))
        # Of transfer, besides: methods that learn nothing, and those that learn from a target's own images.
        and (
            request.source is None
            or row["source"] in (None, request.source)
            or (row["source"] == row["dataset"] and row["unlabelled"])
        )
    )


def _check(row: dict[str, Any], request: Request) -> None:
    """UserError for a run whose metrics or mark are none."""
    for name in request.names:
        if not isinstance(row.get(name), Real):
            raise UserError(f"The metrics of {row['predictions']} have no {name}: make the metrics again.")
    if row["transductive"] not in (None, *TRANSDUCTIVE):
        raise UserError(
            f"The metrics of {row['predictions']} say {row['transductive']!r} for transductive, which is "
            f"not one of null, {', '.join(TRANSDUCTIVE)}: make the metrics again."
        )


def _require_consistent(runs: list[dict[str, Any]]) -> None:
    """UserError unless the runs are of one student, and each of them stands there once."""
    others = [run for run in runs if run["student_sha256"] != runs[0]["student_sha256"]]
    if others:
        pair = [f"{r['student']} ({r['student_sha256']}, {r['predictions']})" for r in (runs[0], others[0])]
        raise UserError(f"The metrics mix two students, {listed(pair)}: make one table of each.")
    seen: dict[tuple, dict[str, Any]] = {}
    for run in runs:
        first = seen.setdefault((run["dataset"], run["method"], run["shots"], run["seed"]), run)
        if first is not run:
            files = f"{first['predictions']} and {run['predictions']}"
            raise UserError(f"The metrics hold one run twice, from {files}: drop one.")


def summarise(runs: pd.DataFrame, request: Request, published: Path | None = None) -> pd.DataFrame:
    """One row per data set (then the average), method, shots and metric that there is a result of.

    `runs` is what `select` returns.  Columns: COLUMNS; metrics in percent; `std` is the sample standard
    deviation over `seeds` runs, missing for one; `partial` says that there are fewer seeds than asked
    for.  The average is over `request.datasets` and the seeds that all of them have.  The mean of a metric
    with parts follows from the parts' means (HM: from mean base and mean novel accuracy); its deviation is
    that of the seeds' own.  `difference` is ours minus `published`, in points; both are missing where
    nothing is comparable, and where seeds are missing.  `outside` says that the difference is more than two
    of our standard deviations over seeds; it is false where there is no deviation.
    """
    rows = []
    for dataset in (*request.shown, AVERAGE):
        for method, title in request.titles.items():
            for shots in (0, *request.shots):
                own = runs[(runs["method"] == method) & (runs["shots"] == shots)]
                own = seed_averages(own, request) if dataset == AVERAGE else own[own["dataset"] == dataset]
                if own.empty:
                    continue
                cell = {
                    "dataset": dataset,
                    "method": method,
                    "title": title,
                    "shots": shots,
                    "seeds": len(own),
                    "partial": shots > 0 and len(own) < len(request.seeds),
                    "transductive": strongest(own["transductive"]),
                }
                means = request.averages(own[request.names].mean())
                rows += [
                    {**cell, "metric": name, "mean": mean, "std": own[name].std()}
                    for name, mean in means.items()
                ]
    cells = pd.DataFrame(rows, columns=COLUMNS[: COLUMNS.index("published")])
    return _compare(cells, published, request, runs["student"].iloc[0])


def seeds_of(runs: pd.DataFrame, request: Request) -> pd.DataFrame:
    """Every run's metrics (percent), and the predictions that they come from."""
    return runs[["dataset", "source", "method", "shots", "seed", *request.names, "images", "predictions"]]


def seed_averages(own: pd.DataFrame, request: Request) -> pd.DataFrame:
    """Per seed, the mean over data sets; only the seeds that every data set has."""
    own = own[own["dataset"].isin(request.datasets)]
    by_seed = own.groupby("seed", dropna=False)
    means = by_seed[request.names].mean()[by_seed["dataset"].nunique() == len(request.datasets)]
    averages = [request.averages(row) for row in means.to_dict("records")]
    frame = pd.DataFrame(averages, index=means.index, columns=request.names).reset_index()
    return frame.assign(transductive=strongest(own["transductive"]))


def strongest(marks: Iterable[str | None]) -> str | None:
    """The strongest of some marks of `TRANSDUCTIVE`; None where there is none."""
    return max(set(marks) & set(TRANSDUCTIVE), key=list(TRANSDUCTIVE).index, default=None)


def _compare(cells: pd.DataFrame, path: Path | None, request: Request, student: str) -> pd.DataFrame:
    """`cells` with the columns published, difference and outside; missing where nothing is compared."""
    if path is None:
        return cells.assign(published=float("nan"), difference=float("nan"), outside=None)
    known = read_published(path, [metric.name for metric in request.metrics if not metric.step])
    # The numbers of the same backbone, of averages over the same data sets, of the same source.
    model, _, weights = student.partition(":")
    same = known["backbone"] == f"{model.removesuffix('-quickgelu')}:{weights}"
    if "averaged" in known:
        averaged = known["averaged"].map(lambda names: set(str(names).split()) == set(request.datasets))
        same &= (known["dataset"] != AVERAGE) | averaged
    if "trained_on" in known:
        same &= known["trained_on"].isna() | (known["trained_on"] == request.source)
    keys = ["dataset", "method", "shots", "metric"]
    known = known[same]
    if (repeated := known.duplicated(keys)).any():
        twice = known[repeated].iloc[0]
        raise UserError(f"{path} gives {twice['method']} on {twice['dataset']} twice: drop one row.")
    cells = cells.merge(known[[*keys, "published"]], how="left", on=keys)
    cells["published"] = cells["published"].mask(cells["partial"].astype(bool))
    cells["difference"] = cells["mean"] - cells["published"]
    outside = (cells["difference"].abs() > 2 * cells["std"]).astype(object)
    return cells.assign(outside=outside.where(cells["published"].notna(), None))


def read_published(path: Path, metrics: list[str]) -> pd.DataFrame:
    """Published numbers, one row a metric: the file's other columns, `metric` and `published` (percent).

    The file has the columns method, dataset, shots, backbone ("MODEL:WEIGHTS") and the metrics, of which one
    that was not published is empty.  Two more may be there: `averaged`, the data sets that an average is
    over, and `trained_on`, the source of a transfer.  Raises UserError if the file or a column is missing, or
    a number is not one.
    """
    needed = ["method", "dataset", "shots", "backbone", *metrics]
    try:
        table = pd.read_csv(StringIO(read_text(path)))
    except (pd.errors.ParserError, pd.errors.EmptyDataError):
        raise UserError(f"{path} is not a CSV file of published numbers.") from None
    if missing := [name for name in needed if name not in table]:
        raise UserError(f"{path} lacks the columns {', '.join(missing)} of published numbers: add them.")
    try:
        table = table.astype({"shots": int} | dict.fromkeys(metrics, float))
    except ValueError as error:
        raise UserError(f"{path}: shots and metrics must be numbers ({error}).") from None
    others = table.columns.difference(metrics, sort=False)
    return table.melt(others, metrics, var_name="metric", value_name="published")
