"""The base-to-novel table: means over seeds, averages over data sets, published numbers beside."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..config import split_method
from ..errors import UserError
from ..evaluation.metrics import harmonic_mean

FIGURES = ("base", "novel", "hm")
AVERAGE = "average"


def summarise(
    metrics: list[dict[str, Any]], datasets: list[str], titles: dict[str, str], published: Path | None
) -> pd.DataFrame:
    """One row per data set (then the average) and method, in the given orders.

    Columns: dataset, method, title, transductive, seeds, and base, novel, hm (percent, mean over
    seeds) with their standard deviations over seeds `*_std` (sample; none for one seed), and
    `published_*` where a table of published numbers is given.  HM is the harmonic mean of the mean
    base and the mean novel accuracy, as in the published tables; missing results have no row.
    """
    wanted = [row for row in metrics if row["dataset"] in datasets and row["method"] in titles]
    if not wanted:
        raise UserError("The metrics hold no result of these data sets and methods: nothing to tabulate.")
    seeds = pd.DataFrame(wanted)
    rows = []
    for dataset in [*datasets, AVERAGE]:
        for method, title in titles.items():
            own = seeds[seeds["method"] == method]
            own = _averaged(own, datasets) if dataset == AVERAGE else own[own["dataset"] == dataset]
            if len(own):
                rows.append({"dataset": dataset, "method": method, "title": title, **_mean_and_std(own)})
    cells = pd.DataFrame(rows)
    cells.insert(3, "transductive", [split_method(method)[1] for method in cells["method"]])
    return _with_published(cells, published) if published else cells


def _averaged(seeds: pd.DataFrame, datasets: list[str]) -> pd.DataFrame:
    """Per seed, the mean over data sets of base and novel; only seeds that every data set has."""
    complete = seeds.groupby("seed", dropna=False)["dataset"].nunique() == len(datasets)
    averages = seeds.groupby("seed", dropna=False)[["base", "novel"]].mean()[complete].reset_index()
    averages["hm"] = [harmonic_mean(*pair) for pair in zip(averages["base"], averages["novel"], strict=True)]
    return averages


def _mean_and_std(seeds: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {"seeds": len(seeds)}
    row |= {figure: seeds[figure].mean() for figure in FIGURES}
    row["hm"] = harmonic_mean(row["base"], row["novel"])
    return row | {f"{figure}_std": seeds[figure].std() for figure in FIGURES}


def _with_published(cells: pd.DataFrame, path: Path) -> pd.DataFrame:
    try:
        published = pd.read_csv(path)[["method", "dataset", *FIGURES]]
    except (FileNotFoundError, KeyError, pd.errors.ParserError):
        raise UserError(
            f"{path} must be a CSV file of published numbers with the columns method, dataset, base, "
            "novel, hm."
        ) from None
    published = published.rename(columns={figure: f"published_{figure}" for figure in FIGURES})
    return cells.merge(published, how="left", on=["method", "dataset"])


def gains(cells: pd.DataFrame) -> list[tuple[str, dict[str, float]]]:
    """For each cascaded method that stands beside its plain one: title, and points gained on average."""
    average = cells[cells["dataset"] == AVERAGE].set_index("method")
    found = []
    for method in average.index:
        plain, cascaded = split_method(method)
        if cascaded and plain in average.index:
            gain = {figure: average[figure][method] - average[figure][plain] for figure in FIGURES}
            found.append((average["title"][method], gain))
    return found
