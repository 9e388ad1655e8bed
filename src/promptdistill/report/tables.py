"""A table as text, before it takes a form: blocks of rows of cells, and the legend under them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..protocols.base import Metric
from .gains import shown
from .request import AVERAGE, Request
from .summary import strongest

MARKS = {"images and class names": "†", "class names": "‡"}
MARKS_MEAN = {
    "images and class names": "† The method saw unlabelled images of the data set and the names of all its "
    "classes.",
    "class names": "‡ The method knew the names of all classes of the data set, and saw no image of it.",
}
FLAG = "⚑"


@dataclass(frozen=True)
class Published:
    """A published number beside a cell, and ours minus it."""

    value: str
    difference: str
    outside: bool


@dataclass(frozen=True)
class Cell:
    """One number as text; all empty where there is no result."""

    value: str = ""
    rank: int | None = None  # 1: the best of its column, 2: the second
    mark: str = ""
    note: str = ""
    published: Published | None = None


@dataclass(frozen=True)
class Row:
    """One method."""

    title: str
    cells: list[Cell]


@dataclass(frozen=True)
class Block:
    """Rows under one heading; as many cells in a row as columns."""

    title: str
    columns: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Page:
    """All that a table's page shows."""

    title: str
    about: str
    blocks: list[Block]
    gains: Block | None
    legend: list[str]
    note: str
    provenance: str


@dataclass(frozen=True)
class _Column:
    """Where the numbers of a column stand in the summary; any number of shots if none is given."""

    title: str
    dataset: str
    metric: Metric
    shots: int | None = None


def build(cells: pd.DataFrame, gained: pd.DataFrame, request: Request, *, note: str, provenance: str) -> Page:
    """Lay out a summary (`summary.summarise`) and its gains (`gains.gains`) as a table.

    Every method asked for has a row in every block; a cell without a result is empty.  The average's
    block stands only where there is an average.
    """
    blocks = [_block(title, columns, cells, request) for title, columns in _layout(cells, request)]
    gain_block = _gain_block(gained, request)
    return Page(
        title=request.table.title,
        about=f"{request.table.about} {_trainings(request)}",
        blocks=blocks,
        gains=gain_block,
        legend=[*_legend(cells, blocks, request), *(_gain_legend(gained) if gain_block else [])],
        note=note,
        provenance=provenance,
    )


def _trainings(request: Request) -> str:
    """Which trainings the numbers are of, as a sentence."""
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
    return [(request.heading(name), _columns(name, cells, request)) for name in (*averaged, *request.shown)]


def _columns(dataset: str, cells: pd.DataFrame, request: Request) -> list[_Column]:
    if request.table.columns == "metrics":
        return [_Column(metric.heading, dataset, metric) for metric in request.columns]
    untrained = [0] if (cells["shots"] == 0).any() else []
    return [
        _Column(f"K = {shots}", dataset, request.headline, shots) for shots in (*untrained, *request.shots)
    ]


def _block(title: str, columns: list[_Column], cells: pd.DataFrame, request: Request) -> Block:
    found = [_found(column, cells) for column in columns]
    ranks = [_ranks(own, column.metric) for own, column in zip(found, columns, strict=True)]
    rows = []
    for method, name in request.titles.items():
        records = [column.get(method) for column in found]
        mark = "" if request.table.columns == "datasets" else _mark(*records)
        texts = [
            _cell(record, rank.get(method), request) for record, rank in zip(records, ranks, strict=True)
        ]
        rows.append(Row(f"{name} {mark}".rstrip(), texts))
    return Block(title, [column.title for column in columns], rows)


def _found(column: _Column, cells: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The summary's row of each method in one column."""
    own = cells[(cells["dataset"] == column.dataset) & (cells["metric"] == column.metric.name)]
    if column.shots is not None:
        own = own[own["shots"] == column.shots]
    return {row["method"]: row for row in own.to_dict("records")}


def _ranks(column: dict[str, dict[str, Any]], metric: Metric) -> dict[str, int]:
    """1 for the best methods as displayed, 2 for the next; none where nothing is compared."""
    means = {method: shown(row["mean"]) for method, row in column.items() if not row["partial"]}
    best = sorted(set(means.values()), reverse=not metric.lower_is_better)[:2]
    if len(means) < 2:
        return {}
    return {method: best.index(mean) + 1 for method, mean in means.items() if mean in best}


def _mark(*records: dict[str, Any] | None) -> str:
    return MARKS.get(strongest(record["transductive"] for record in records if record), "")


def _cell(record: dict[str, Any] | None, rank: int | None, request: Request) -> Cell:
    if record is None:
        return Cell()
    return Cell(
        value=f"{record['mean']:.2f}{deviation(record['std'])}",
        rank=rank,
        mark=_mark(record) if request.table.columns == "datasets" else "",
        note=f"{record['seeds']} of {len(request.seeds)} seeds" if record["partial"] else "",
        published=_published(record),
    )


def _published(record: dict[str, Any]) -> Published | None:
    if pd.isna(record["published"]):
        return None
    return Published(
        value=f"{record['published']:.2f}",
        difference=signed(record["difference"]),
        outside=bool(record["outside"]),
    )


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


def _gain_block(gained: pd.DataFrame, request: Request) -> Block | None:
    """A row for each cascaded method, a column for each metric or number of shots; None without gains."""
    if gained.empty:
        return None
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
    marks = set(cells["transductive"].dropna())
    lower = " and ".join(metric.heading for metric in request.columns if metric.lower_is_better)
    sentences = {
        "Bold is the best mean of a column, underlined the second.": any(cell.rank for cell in shown_cells),
        f"Less is better: {lower}.": bool(lower),
        **{sentence: mark in marks for mark, sentence in MARKS_MEAN.items()},
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
