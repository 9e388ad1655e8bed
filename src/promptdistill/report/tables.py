"""A table as text, before it takes a form: blocks of rows of cells, and the legend under them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from ..protocols.base import Metric
from ..validation import listed
from .gains import REFERENCE, shown
from .request import AVERAGE, Request
from .summary import TRANSDUCTIVE, strongest

FLAG = "⚑"
COMPARED = ("novel", "hm")  # metrics whose difference between a method and its variants is shown


class Published(NamedTuple):
    """A published number beside a cell, and ours minus it."""

    value: str
    difference: str
    outside: bool


class Cell(NamedTuple):
    """One number as text; all empty where there is no result."""

    value: str = ""
    rank: int | None = None  # 1: the best of its column, 2: the second
    mark: str = ""
    note: str = ""
    published: Published | None = None


class Row(NamedTuple):
    """One method."""

    title: str
    cells: list[Cell]


class Block(NamedTuple):
    """Rows under one heading; as many cells in a row as columns."""

    title: str
    columns: list[str]
    rows: list[Row]


class Page(NamedTuple):
    """All that a table's page shows."""

    title: str
    about: str
    blocks: list[Block]
    gains: Block | None
    legend: list[str]
    note: str = ""
    provenance: str = ""


class _Column(NamedTuple):
    """Where the numbers of a column stand in the summary; any number of shots if none is given."""

    title: str
    dataset: str
    metric: Metric
    shots: int | None = None


def build(cells: pd.DataFrame, gained: pd.DataFrame, request: Request) -> Page:
    """Lay out a summary (`summary.summarise`) and its gains (`gains.gains`) as a table.

    Every method asked for has a row in every block; a cell without a result is empty.  The average's
    block stands only where there is an average.
    """
    blocks = [_block(title, columns, cells, request) for title, columns in _layout(cells, request)]
    legend = _legend(cells, blocks, request)
    return Page(
        title=request.table.title,
        about=f"{request.table.about} {_trainings(request)}",
        blocks=blocks,
        gains=None if gained.empty else _gain_block(gained, request),
        legend=legend if gained.empty else [*legend, *_gain_legend(gained)],
    )


def _trainings(request: Request) -> str:
    """What every run was trained with."""
    seeds = f"seeds {', '.join(map(str, request.seeds))}."
    if request.table.columns == "shots":
        return seeds.capitalize()
    return f"{request.shots[0]} labelled images per class (fewer where a class has fewer); {seeds}"


def _layout(cells: pd.DataFrame, request: Request) -> list[tuple[str, list[_Column]]]:
    """The blocks: their titles, and the columns of each."""
    if request.table.columns == "datasets":
        names = (*request.shown, AVERAGE)
        return [("", [_Column(request.heading(name), name, request.headline) for name in names])]
    averaged = [AVERAGE] if (cells["dataset"] == AVERAGE).any() else []
    kinds: list[tuple] = [(metric.heading, metric, None) for metric in request.columns]
    if request.table.columns == "shots":
        untrained = [0] if (cells["shots"] == 0).any() else []
        kinds = [(f"K = {shots}", request.headline, shots) for shots in (*untrained, *request.shots)]
    return [
        (request.heading(name), [_Column(heading, name, *kind) for heading, *kind in kinds])
        for name in (*averaged, *request.shown)
    ]


def _block(title: str, columns: list[_Column], cells: pd.DataFrame, request: Request) -> Block:
    made = [_cells(column, cells, request) for column in columns]
    rows = []
    for method, name in request.titles.items():
        own = cells[(cells["method"] == method) & (cells["dataset"] == columns[0].dataset)]
        mark = "" if request.table.columns == "datasets" else _mark(own["transductive"])
        rows.append(Row(f"{name} {mark}".rstrip(), [column.get(method, Cell()) for column in made]))
    return Block(title, [column.title for column in columns], rows)


def _cells(column: _Column, cells: pd.DataFrame, request: Request) -> dict[str, Cell]:
    """The cell of each method in one column; of several means that are whole, the two best have a rank."""
    own = cells[(cells["dataset"] == column.dataset) & (cells["metric"] == column.metric.name)]
    if column.shots is not None:
        own = own[own["shots"] == column.shots]
    means = {row.method: shown(row.mean) for row in own[~own["partial"].astype(bool)].itertuples()}
    best = sorted(set(means.values()), reverse=not column.metric.lower_is_better)[:2]
    ranks = {mean: rank for rank, mean in enumerate(best, 1) if len(means) > 1}
    return {
        row.method: Cell(
            value=f"{row.mean:.2f}{deviation(row.std)}",
            rank=ranks.get(means.get(row.method)),
            mark=_mark([row.transductive]) if request.table.columns == "datasets" else "",
            note=f"{row.seeds} of {len(request.seeds)} seeds" if row.partial else "",
            published=None
            if pd.isna(row.published)
            else Published(f"{row.published:.2f}", signed(row.difference), bool(row.outside)),
        )
        for row in own.itertuples()
    }


def _mark(transductive: Iterable[str | None]) -> str:
    kind = strongest(transductive)
    return TRANSDUCTIVE[kind][0] if kind else ""


def _marks(transductive: pd.Series) -> list[str]:
    """What the marks that occur say, the strongest first."""
    return [said for kind, said in reversed(TRANSDUCTIVE.items()) if (transductive == kind).any()]


def deviation(std: float) -> str:
    """What follows a mean; nothing for a single run."""
    return "" if pd.isna(std) else f" ± {std:.2f}"


def won(row: Mapping[str, Any]) -> str:
    """Wins/ties/losses, and the p of their test where something was tested."""
    p = row["p"]
    tested = "" if pd.isna(p) else ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"
    return f"{row['wins']:.0f}/{row['ties']:.0f}/{row['losses']:.0f}{tested}"


def signed(points: float) -> str:
    """With its sign, and a minus as wide as the plus; what rounds to zero is +0.00."""
    return f"{shown(points) + 0.0:+.2f}".replace("-", "−")


def _gain_block(gained: pd.DataFrame, request: Request) -> Block:
    """A row for each cascaded method, a column for each metric or number of shots."""
    if request.table.columns == "shots":
        by, headings = "shots", {shots: f"K = {shots}" for shots in request.shots}
        gained = gained[gained["metric"] == request.headline.name]
    else:
        by, headings = "metric", {metric.name: metric.heading for metric in request.columns}
    if request.table.columns == "datasets":
        headings = {request.headline.name: request.heading(AVERAGE)}
    rows = []
    for method in gained["method"].unique():
        own = {row[by]: row for row in gained[gained["method"] == method].to_dict("records")}
        cells = [
            Cell(signed(own[key]["gain"]), note=won(own[key])) if key in own else Cell() for key in headings
        ]
        rows.append(Row(request.titles[method], cells))
    return Block("Gain over the plain method", list(headings.values()), rows)


def _legend(cells: pd.DataFrame, blocks: list[Block], request: Request) -> list[str]:
    """A sentence for each sign that occurs."""
    shown_cells = [cell for block in blocks for row in block.rows for cell in row.cells]
    beside = [cell.published for cell in shown_cells if cell.published]
    marks = _marks(cells["transductive"])
    lower = [metric.heading for metric in request.columns if metric.lower_is_better]
    sentences = {
        "Bold is the best mean of a column, underlined the second.": any(cell.rank for cell in shown_cells),
        f"Less is better: {listed(lower)}.": bool(lower),
        **dict.fromkeys(marks, True),
        "An average bears the strongest mark of the data sets in it.": bool(marks),
        "(n of m seeds): some seeds are missing; such a mean takes no part in the ranking or the gains.": any(
            cell.note for cell in shown_cells
        ),
        "[published number, ours minus published].": bool(beside),
        f"{FLAG} The difference is more than two standard deviations of ours over seeds.": any(
            number.outside for number in beside
        ),
    }
    return [sentence for sentence, occurs in sentences.items() if occurs]


def _gain_legend(gained: pd.DataFrame) -> list[str]:
    least, most = gained["datasets"].min(), gained["datasets"].max()
    count = f"n = {most}" if least == most else f"n = {least} to {most}"
    sentences = [
        "Gain: points on average over the data sets that both methods have with all seeds "
        f"({count}), with wins/ties/losses over these data sets."
    ]
    if gained["p"].notna().any():
        sentences.append(
            "p: two-sided paired Wilcoxon signed-rank test over these data sets, one pair of means each; "
            f"with n = {most} it cannot be less than {2.0 ** (1 - most):.2g}."
        )
    return sentences


def build_ablation(rows: pd.DataFrame, request: Request) -> Page:
    """Lay out `gains.differences` as a table: a block for the method and one for each group of variants."""
    title = next(iter(request.titles.values()))
    blocks = [
        _variant_block(group, rows[rows["group"] == group], request) for group in rows["group"].unique()
    ]
    return Page(
        title=f"Ablation: {title}",
        about=f"{request.table.about} Average over {listed(request.datasets)}. {_trainings(request)}",
        blocks=blocks,
        gains=None,
        legend=[
            f"Differences from {title}, in points, ± their standard deviation over seeds; "
            "wins/ties/losses over pairs of runs of one data set and seed.",
            "p: two-sided paired Wilcoxon signed-rank test over these pairs. Seeds of one data set are not "
            "independent, and many variants are compared: a small p is a hint, no proof.",
            *_marks(rows["transductive"]),
        ],
    )


def _variant_block(group: str, rows: pd.DataFrame, request: Request) -> Block:
    compared = [] if group == REFERENCE else [metric for metric in request.columns if metric.name in COMPARED]
    lines = []
    for method in rows["method"].unique():
        own = rows[rows["method"] == method].set_index("metric")
        means = [own.loc[metric.name] for metric in request.columns]
        cells = [Cell(f"{row['mean']:.2f}{deviation(row['std'])}") for row in means]
        cells += [_difference(own.loc[metric.name]) for metric in compared]
        lines.append(Row(f"{own['title'].iloc[0]} {_mark(own['transductive'])}".rstrip(), cells))
    columns = [metric.heading for metric in request.columns]
    return Block(group, [*columns, *(f"Δ {metric.heading}" for metric in compared)], lines)


def _difference(row: pd.Series) -> Cell:
    if pd.isna(row["difference"]):
        return Cell()
    return Cell(signed(row["difference"]) + deviation(row["difference_std"]), note=won(row))
