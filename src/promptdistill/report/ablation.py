"""How a method's variants compare with the method itself, on the same data sets and seeds."""

from typing import Any

import pandas as pd

from ..config import Variant
from .gains import p_value, shown, wins_ties_losses
from .request import AVERAGE, KINDS, Request
from .summary import seed_averages
from .tables import HEADINGS, MARKS, MARKS_MEAN, Block, Cell, Row, Table, deviation, p_text, signed

COLUMNS = (
    "method title group figure mean std seeds transductive difference difference_std wins ties losses runs p"
).split()
REFERENCE = "As it is"  # the heading of the method itself
_DIFFERENCES = ("novel", "hm")  # figures whose difference is shown


def differences(
    runs: pd.DataFrame, cells: pd.DataFrame, request: Request, variants: dict[str, Variant]
) -> pd.DataFrame:
    """One row per variant and figure: the average over data sets, and its difference from the method's.

    `runs` and `cells` are a base-to-novel summary (`summary.select`, `summary.summarise`) of the method,
    which `request.titles` names first, and of its variants.  Columns: COLUMNS.  `mean` and `difference`
    are of figures as displayed; `difference_std` is the sample standard deviation over seeds of the
    differences of the same seed; `wins`, `ties`, `losses` and the Wilcoxon test's `p` are over `runs` pairs
    of the same data set and seed.  Where seeds are missing nothing is compared.
    """
    averages = cells[cells["dataset"] == AVERAGE].set_index(["method", "figure"])
    reference = next(iter(request.titles))
    rows = []
    for method, title in request.titles.items():
        group = variants[method].group if method in variants else REFERENCE
        for figure in request.figures:
            if (method, figure) not in averages.index:
                continue
            own = averages.loc[(method, figure)]
            row = {"method": method, "title": title, "group": group, "figure": figure}
            row |= own[["mean", "std", "seeds", "transductive"]].to_dict()
            usual = averages.loc[(reference, figure)] if (reference, figure) in averages.index else None
            if method != reference and usual is not None and not (own["partial"] or usual["partial"]):
                row["difference"] = shown(own["mean"]) - shown(usual["mean"])
                row |= _paired(runs, reference, method, figure, request)
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _paired(runs: pd.DataFrame, reference: str, method: str, figure: str, request: Request) -> dict[str, Any]:
    """What the pairs of runs of one data set and seed say of one figure."""
    before, after = (
        runs[runs["method"] == name].set_index(["dataset", "seed"])[figure].map(shown)
        for name in (reference, method)
    )
    both = before.index.intersection(after.index)
    before, after = before.loc[both], after.loc[both]
    by_seed = [
        seed_averages(runs[runs["method"] == name], request).set_index("seed")[figure]
        for name in (reference, method)
    ]
    return {
        "difference_std": (by_seed[1] - by_seed[0]).std(),
        **wins_ties_losses(before, after),
        "runs": len(both),
        "p": p_value(after - before),
    }


def build(rows: pd.DataFrame, request: Request, *, note: str, provenance: str) -> Table:
    """Lay out `differences` as a table: a block for the method and one for each group of variants."""
    title = next(iter(request.titles.values()))
    blocks = [_block(group, rows[rows["group"] == group], request) for group in rows["group"].unique()]
    seeds = ", ".join(str(seed) for seed in request.seeds)
    return Table(
        title=f"Ablation: {title}",
        about=f"{KINDS[request.kind].about} Average over {', '.join(request.datasets)}; "
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
    columns = [HEADINGS[figure] for figure in request.figures]
    changes = [f"Δ {HEADINGS[figure]}" for figure in _DIFFERENCES] if group != REFERENCE else []
    lines = []
    for method in rows["method"].unique():
        own = rows[rows["method"] == method].set_index("figure")
        cells = [_figure(own.loc[figure]) for figure in request.figures]
        cells += [_difference(own.loc[figure]) for figure in _DIFFERENCES] if changes else []
        mark = MARKS.get(own["transductive"].iloc[0], "")
        lines.append(Row(f"{own['title'].iloc[0]} {mark}".rstrip(), cells))
    return Block(group, [*columns, *changes], lines)


def _figure(row: pd.Series) -> Cell:
    return Cell(f"{row['mean']:.2f}{deviation(row['std'])}")


def _difference(row: pd.Series) -> Cell:
    if pd.isna(row["difference"]):
        return Cell()
    won = f"{row['wins']:.0f}/{row['ties']:.0f}/{row['losses']:.0f}"
    return Cell(signed(row["difference"]) + deviation(row["difference_std"]), note=won + p_text(row["p"]))
