"""Tables as pictures."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from ..files import atomic
from ..run import split_method
from .request import AVERAGE, Request

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_LABELS = {"hm": "harmonic mean of base and novel (%)", "accuracy": "accuracy (%)"}
_DIFFERENCE_LABELS = {"hm": "harmonic mean", "novel": "novel classes"}
_LEGEND_INCHES = 2.1  # that a method's name takes
_BARS_IN_A_ROW = 110  # more are too thin to tell apart on a page


def write_plot(cells: pd.DataFrame, request: Request, path: Path) -> None:
    """Draw a summary (`summary.summarise`) as PNG: few-shot as lines over shots, the others as bars."""
    figure = _lines(cells, request) if request.kind == "few_shot" else _bars(cells, request)
    _save(figure, path)


def write_ablation_plot(rows: pd.DataFrame, path: Path) -> None:
    """Draw a method's variants (`ablation.differences`) as PNG: points gained or lost, group by group."""
    compared = rows[rows["difference"].notna()]
    labels = compared[["group", "method", "title"]].drop_duplicates("method")
    figure, axes = plt.subplots(figsize=(8.5, 1.4 + 0.3 * len(labels)), layout="constrained")
    groups = labels["group"].ne(labels["group"].shift()).cumsum().to_numpy()
    places = np.arange(len(labels)) + 0.8 * (groups - 1)  # a gap between groups
    for figure_name, offset, colour in (("novel", -0.14, "#e08a2e"), ("hm", 0.14, "#2a6fbb")):
        own = compared[compared["figure"] == figure_name].set_index("method").loc[labels["method"]]
        axes.errorbar(
            own["difference"],
            places + offset,
            xerr=own["difference_std"],
            fmt="o",
            color=colour,
            markersize=5,
            elinewidth=1,
            label=_DIFFERENCE_LABELS[figure_name],
        )
    axes.axvline(0, color="#444", linewidth=0.9)
    axes.set_yticks(places, labels["title"])
    axes.invert_yaxis()
    axes.set_xlabel("points above or below the method as it is (± deviation over seeds)")
    figure.legend(ncols=2, loc="outside upper center", frameon=False, fontsize=9)
    _tidy(axes)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with atomic(path) as partial:
        figure.savefig(partial, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)


def _bars(cells: pd.DataFrame, request: Request) -> Figure:
    """A group a data set and the average, a bar a method, with its deviation over seeds."""
    cells = cells[cells["figure"] == request.figures[-1]]
    groups = [name for name in (*request.shown, AVERAGE) if (cells["dataset"] == name).any()]
    methods = [method for method in request.titles if (cells["method"] == method).any()]
    rows = -(-len(groups) * len(methods) // _BARS_IN_A_ROW)
    columns = -(-len(groups) // rows)
    rows = -(-len(groups) // columns)  # rounding up the columns can have emptied the last row
    inches = max(7.0, 1.5 + columns * (0.5 + 0.11 * len(methods)))
    figure, grid = plt.subplots(rows, figsize=(inches, 1.2 + 3.6 * rows), squeeze=False, layout="constrained")
    for number, axes in enumerate(grid.flat):
        _bar_groups(axes, groups[number * columns :][:columns], methods, cells, request)
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(max(0, 10 * np.floor(cells["mean"].min() / 10) - 10), 100)
        axes.set_ylabel(_LABELS[request.figures[-1]])
        _tidy(axes)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    columns = max(3, int(inches // _LEGEND_INCHES))
    figure.legend(handles, labels, ncols=columns, loc="outside upper center", frameon=False, fontsize=9)
    return figure


def _bar_groups(
    axes: Axes, groups: list[str], methods: list[str], cells: pd.DataFrame, request: Request
) -> None:
    width = 0.86 / len(methods)
    for number, method in enumerate(methods):
        own = cells[cells["method"] == method].set_index("dataset").reindex(groups)
        axes.bar(
            np.arange(len(groups)) + (number - (len(methods) - 1) / 2) * width,
            own["mean"],
            width,
            yerr=own["std"],
            color=_shade(method, methods),
            label=request.titles[method],
            error_kw={"elinewidth": 0.8, "ecolor": "#444"},
        )
    axes.set_xticks(range(len(groups)), [_label(name, request) for name in groups])


def _lines(cells: pd.DataFrame, request: Request) -> Figure:
    """A panel for the average and each data set: accuracy over shots, one line a method."""
    panels = [name for name in (AVERAGE, *request.datasets) if (cells["dataset"] == name).any()]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    inches = max(6.4, 3.2 * columns)
    legend_columns = int(inches // _LEGEND_INCHES)
    legend_rows = -(-len(request.titles) // legend_columns)
    size = (inches, 2.7 * rows + 0.25 * legend_rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axes, name in zip(grid.flat, panels, strict=False):
        _panel(axes, cells[cells["dataset"] == name], request)
        axes.set_title(_label(name, request), fontsize=10, fontweight="bold" if name == AVERAGE else None)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.supylabel(_LABELS["accuracy"], fontsize=10)
    figure.supxlabel("training images per class", fontsize=10)
    handles = {
        label: handle
        for axes in grid.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    order = [title for title in request.titles.values() if title in handles]
    figure.legend(
        [handles[title] for title in order],
        order,
        ncols=legend_columns,
        loc="outside upper center",
        frameon=False,
        fontsize=9,
    )
    return figure


def _panel(axes: Axes, cells: pd.DataFrame, request: Request) -> None:
    methods = list(request.titles)
    for method, title in request.titles.items():
        own = cells[cells["method"] == method].sort_values("shots")
        if own.empty:
            continue
        untrained = (own["shots"] == 0).all()
        axes.errorbar(
            [_position(shots, request) for shots in own["shots"]],
            own["mean"],
            yerr=own["std"],
            color=_colour(method, methods),
            linestyle="none" if untrained else "-" if split_method(method)[1] else "--",
            linewidth=1.4,
            marker="*" if untrained else "o",
            markersize=9 if untrained else 3.5,
            elinewidth=0.8,
            label=title,
        )
    shots = [*([0] if (cells["shots"] == 0).any() else []), *sorted(request.shots)]
    axes.set_xticks([_position(number, request) for number in shots], [str(number) for number in shots])
    _tidy(axes)


def _position(shots: int, request: Request) -> float:
    """Shots on a scale of powers of two, and 0 one step left of the least."""
    return float(np.log2(shots)) if shots else float(np.log2(min(request.shots))) - 1


def _label(name: str, request: Request) -> str:
    if name == AVERAGE and request.is_transfer:
        return "average\nof targets"
    words = name.replace("_", "\n" if request.kind != "few_shot" else " ")
    return f"{words}\n(source)" if name == request.source else words


def _family(method: str, methods: list[str]) -> int:
    """A number that a method shares with its cascaded form."""
    return list(dict.fromkeys(split_method(name)[0] for name in methods)).index(split_method(method)[0])


def _colour(method: str, methods: list[str]) -> tuple[float, ...]:
    return plt.get_cmap("tab10")(_family(method, methods) % 10)


def _shade(method: str, methods: list[str]) -> tuple[float, ...]:
    """The method's colour, light for the plain form."""
    dark = split_method(method)[1]
    return plt.get_cmap("tab20")(2 * (_family(method, methods) % 10) + (0 if dark else 1))


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
