"""How a method's variants compare with the method itself, on the same data sets and seeds."""

from typing import Any

import pandas as pd

from ..config.entries import Variant
from ..protocols.base import Metric
from .gains import p_value, shown, wins_ties_losses
from .request import AVERAGE, Request
from .summary import seed_averages
from .tables import MARKS, MARKS_MEAN, Block, Cell, Page, Row, deviation, signed, won

COLUMNS = (
    "method title group metric mean std seeds transductive difference difference_std wins ties losses runs p"
).split()
REFERENCE = "As it is"  # the heading of the method itself
COMPARED = ("novel", "hm")  # metrics whose difference is shown


def differences(
    runs: pd.DataFrame, cells: pd.DataFrame, request: Request, variants: dict[str, Variant]
) -> pd.DataFrame:
    """One row per variant and metric: the average over data sets, and its difference from the method's.

    `runs` and `cells` are a base-to-novel summary (`summary.select`, `summary.summarise`) of the method,
    which `request.titles` names first, and of its variants.  Columns: COLUMNS.  `mean` and `difference`
    are of numbers as displayed; `difference_std` is the sample standard deviation over seeds of the
    differences of the same seed; `wins`, `ties`, `losses` and the Wilcoxon test's `p` are over `runs` pairs
    of the same data set and seed.  Where seeds are missing nothing is compared.
    """
    averages = cells[cells["dataset"] == AVERAGE].set_index(["method", "metric"])
    reference = next(iter(request.titles))
    by_method = dict(list(runs.groupby("method")))
    rows = []
    for method, title in request.titles.items():
        group = variants[method].group if method in variants else REFERENCE
        for metric in request.metrics:
            if (method, metric.name) not in averages.index:
                continue
            own = averages.loc[(method, metric.name)]
            row = {"method": method, "title": title, "group": group, "metric": metric.name}
            row |= own[["mean", "std", "seeds", "transductive"]].to_dict()
            as_it_is = (reference, metric.name)
            usual = averages.loc[as_it_is] if as_it_is in averages.index else None
            if method != reference and usual is not None and not (own["partial"] or usual["partial"]):
                row["difference"] = shown(own["mean"]) - shown(usual["mean"])
                row |= _paired(by_method[reference], by_method[method], metric, request)
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _paired(usual: pd.DataFrame, own: pd.DataFrame, metric: Metric, request: Request) -> dict[str, Any]:
    """What the pairs of runs of one data set and seed say of one metric."""
    name = metric.name
    before, after = (runs.set_index(["dataset", "seed"])[name].map(shown) for runs in (usual, own))
    both = before.index.intersection(after.index)
    before, after = before.loc[both], after.loc[both]
    by_seed = [seed_averages(runs, request).set_index("seed")[name] for runs in (usual, own)]
    return {
        "difference_std": (by_seed[1] - by_seed[0]).std(),
        **wins_ties_losses(before, after, metric),
        "runs": len(both),
        "p": p_value(after - before),
    }


def build(rows: pd.DataFrame, request: Request, *, note: str, provenance: str) -> Page:
    """Lay out `differences` as a table: a block for the method and one for each group of variants."""
    title = next(iter(request.titles.values()))
    blocks = [_block(group, rows[rows["group"] == group], request) for group in rows["group"].unique()]
    seeds = ", ".join(str(seed) for seed in request.seeds)
    return Page(
        title=f"Ablation: {title}",
        about=f"{request.table.about} Average over {', '.join(request.datasets)}; "
        f"{request.shots[0]} labelled images per class; seeds {seeds}.",
        blocks=blocks,
        gains=None,
        legend=[
            f"Differences from {title}, in points, ± their standard deviation over seeds; "
            "wins/ties/losses over pairs of runs of one data set and seed.",
            "p: two-sided paired Wilcoxon signed-rank test over these pairs. Seeds of one data set are not "
            "independent, and many variants are compared: a small p is a hint, no proof.",
            *(MARKS_MEAN[mark] for mark in rows["transductive"].dropna().unique()),
        ],
        note=note,
        provenance=provenance,
    )


def _block(group: str, rows: pd.DataFrame, request: Request) -> Block:
    compared = [] if group == REFERENCE else [metric for metric in request.columns if metric.name in COMPARED]
    lines = []
    for method in rows["method"].unique():
        own = rows[rows["method"] == method].set_index("metric")
        cells = [_mean(own.loc[metric.name]) for metric in request.columns]
        cells += [_difference(own.loc[metric.name]) for metric in compared]
        mark = MARKS.get(own["transductive"].iloc[0], "")
        lines.append(Row(f"{own['title'].iloc[0]} {mark}".rstrip(), cells))
    columns = [metric.heading for metric in request.columns]
    return Block(group, [*columns, *(f"Δ {metric.heading}" for metric in compared)], lines)


def _mean(row: pd.Series) -> Cell:
    return Cell(f"{row['mean']:.2f}{deviation(row['std'])}")


def _difference(row: pd.Series) -> Cell:
    if pd.isna(row["difference"]):
        return Cell()
    return Cell(signed(row["difference"]) + deviation(row["difference_std"]), note=won(row))
