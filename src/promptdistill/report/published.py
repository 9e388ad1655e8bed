"""Published numbers beside ours, where the two are comparable."""

from pathlib import Path

import pandas as pd

from ..errors import UserError
from .request import AVERAGE, Request

_DEVIATIONS = 2  # beyond so many standard deviations a difference counts as outside


def compare(cells: pd.DataFrame, path: Path | None, request: Request, student: str) -> pd.DataFrame:
    """`cells` with the columns published, difference (ours minus published) and outside, in points.

    All three are missing where there is nothing to compare, and where seeds are missing.  `outside` says
    that the difference is more than two of our standard deviations over seeds; it is false where there is
    no deviation.
    """
    if path is None:
        return cells.assign(published=float("nan"), difference=float("nan"), outside=None)
    metrics = [metric.name for metric in request.metrics if metric.in_table]
    known = _comparable(read(path, metrics), request, student)
    keys = ["dataset", "method", "shots", "metric"]
    if known.duplicated(keys).any():
        twice = known[known.duplicated(keys)].iloc[0]
        raise UserError(f"{path} gives {twice['method']} on {twice['dataset']} twice: drop one row.")
    cells = cells.merge(known[[*keys, "published"]], how="left", on=keys)
    cells["published"] = cells["published"].mask(cells["partial"].astype(bool))
    cells["difference"] = cells["mean"] - cells["published"]
    outside = (cells["difference"].abs() > _DEVIATIONS * cells["std"]).astype(object)
    return cells.assign(outside=outside.where(cells["published"].notna(), None))


def read(path: Path, metrics: list[str]) -> pd.DataFrame:
    """Published numbers, one row a metric: the file's other columns, `metric` and `published` (percent).

    The file has the columns method, dataset, shots, backbone ("MODEL:WEIGHTS") and the metrics.  Two more
    may be there: `averaged`, the data sets that an average is over, and `trained_on`, the source of a
    transfer.  Raises UserError if the file or a column is missing, or a number is not one.
    """
    needed = ["method", "dataset", "shots", "backbone", *metrics]
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: name a CSV file of published numbers, or none.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"{path} is not a CSV file of published numbers.") from None
    missing = [name for name in needed if name not in table]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)} of published numbers: add them.")
    try:
        table = table.astype({"shots": int} | dict.fromkeys(metrics, float))
    except ValueError as error:
        raise UserError(f"{path}: shots and metrics must be numbers ({error}).") from None
    others = [name for name in table.columns if name not in metrics]
    return table.melt(others, metrics, var_name="metric", value_name="published")


def _comparable(known: pd.DataFrame, request: Request, student: str) -> pd.DataFrame:
    """The numbers of the same backbone, of averages over the same data sets, of the same source."""
    model, _, weights = student.partition(":")
    same = known["backbone"] == f"{model.removesuffix('-quickgelu')}:{weights}"
    if "averaged" in known:
        averaged = known["averaged"].map(lambda names: set(str(names).split()) == set(request.datasets))
        same &= (known["dataset"] != AVERAGE) | averaged
    if "trained_on" in known:
        same &= known["trained_on"].isna() | (known["trained_on"] == request.source)
    return known[same]
