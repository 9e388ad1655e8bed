"""Tables as pictures."""

import re
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from ..files import atomic
from ..protocols.base import Metric
from ..run import MethodParts, is_cascaded
from .request import AVERAGE, Request
from .tables import COMPARED

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

_LEGEND_INCHES = 2.1  # that a method's name takes
_BARS_IN_A_ROW = 110  # more are too thin to tell apart on a page
_MARKERS, _HATCHES = "osD^", ("", "///", "...", "xxx")  # without a plug-in, and of up to three


def write_plot(cells: pd.DataFrame, request: Request, path: Path) -> None:
    """Draw a summary (`summary.summarise`) as PNG: lines over the table's curve, else bars."""
    _save((_lines if request.table.curve else _bars)(cells, request), path)


def write_ablation_plot(rows: pd.DataFrame, request: Request, path: Path) -> None:
    """Draw a method's variants (`gains.differences`) as PNG: points gained or lost, group by group."""
    compared = rows[rows["difference"].notna()]
    labels = compared[["group", "method", "title"]].drop_duplicates("method")
    figure, axes = plt.subplots(figsize=(8.5, 1.4 + 0.3 * len(labels)), layout="constrained")
    groups = labels["group"].ne(labels["group"].shift()).cumsum().to_numpy()
    positions = np.arange(len(labels)) + 0.8 * (groups - 1)  # a gap between groups
    headings = {metric.name: metric.heading for metric in request.metrics}
    for metric, offset, colour in zip(COMPARED, (-0.14, 0.14), ("#e08a2e", "#2a6fbb"), strict=True):
        own = compared[compared["metric"] == metric].set_index("method").loc[labels["method"]]
        axes.errorbar(
            own["difference"],
            positions + offset,
            xerr=own["difference_std"],
            fmt="o",
            color=colour,
            markersize=5,
            elinewidth=1,
            label=headings[metric],
        )
    axes.axvline(0, color="#444", linewidth=0.9)
    axes.set_yticks(positions, labels["title"])
    axes.invert_yaxis()
    axes.set_xlabel("points above or below the method as it is (± deviation over seeds)")
    _legend(figure, *axes.get_legend_handles_labels(), 2)
    _tidy(axes)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with atomic(path) as partial:
        figure.savefig(partial, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)


def _bars(cells: pd.DataFrame, request: Request) -> Figure:
    """A group a data set and the average, a bar a method, with its deviation over seeds."""
    cells = cells[cells["metric"] == request.headline.name]
    wide = cells.pivot(index="dataset", columns="method", values=["mean", "std"])
    groups = [name for name in (*request.shown, AVERAGE) if name in wide.index]
    methods = [method for method in request.titles if method in wide["mean"]]
    # The method's colour, light for the plain form.
    colours = [2 * _family(method, methods) + (not is_cascaded(method)) for method in methods]
    rows = -(-len(groups) * len(methods) // _BARS_IN_A_ROW)
    columns = -(-len(groups) // rows)
    rows = -(-len(groups) // columns)  # rounding up the columns can have emptied the last row
    inches = max(7.0, 1.5 + columns * (0.5 + 0.11 * len(methods)))
    figure, grid = plt.subplots(rows, figsize=(inches, 1.2 + 3.6 * rows), squeeze=False, layout="constrained")
    for index, axes in enumerate(grid.flat):
        own = wide.loc[groups[index * columns :][:columns]]
        own["mean"][methods].rename(columns=request.titles).plot.bar(
            ax=axes,
            yerr=own["std"][methods].rename(columns=request.titles),
            width=0.86,
            color=plt.get_cmap("tab20")(colours),
            error_kw={"elinewidth": 0.8, "ecolor": "#444"},
            legend=False,
            rot=0,
            xlabel="",
        )
        series = [bars for bars in axes.containers if isinstance(bars, BarContainer)]
        for method, bars in zip(methods, series, strict=True):
            for bar in bars:
                bar.set_hatch(_HATCHES[_plugin(method, methods)])
        axes.set_xticklabels([re.sub(r"_| (?=\(|of)", "\n", request.heading(name)) for name in own.index])
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(max(0, 10 * np.floor(cells["mean"].min() / 10) - 10), 100)
        axes.set_ylabel(request.headline.axis)
        _tidy(axes)
    _legend(figure, *grid[0, 0].get_legend_handles_labels(), max(3, int(inches // _LEGEND_INCHES)))
    return figure


def _curve(cells: pd.DataFrame, request: Request) -> tuple[pd.DataFrame, dict[float, str], Metric]:
    """The cells that lines run over, with a column `x`; the ticks of x with their labels; what y is.

    They are the headline over the number of shots, or the points of the curve over the sessions.
    """
    if request.table.curve == "sessions":
        points = {metric.name: metric for metric in request.metrics if metric.step}
        own = cells[cells["metric"].isin(points)]
        ticks = {metric.step: str(metric.step) for metric in points.values()}
        x = own["metric"].map(lambda name: points[name].step)
        return own.assign(x=x), ticks, next(iter(points.values()))
    own = cells[cells["metric"] == request.headline.name]
    shots = [*([0] if (own["shots"] == 0).any() else []), *sorted(request.shots)]
    # Logarithmic; 0 stands one below the least.
    x = {k: float(np.log2(k)) if k else float(np.log2(min(request.shots))) - 1 for k in shots}
    return own.assign(x=own["shots"].map(x)), {x[k]: str(k) for k in shots}, request.headline


def _lines(cells: pd.DataFrame, request: Request) -> Figure:
    """A panel for the average and each data set, one line a method."""
    curve, ticks, measured = _curve(cells, request)
    panels = [name for name in (AVERAGE, *request.shown) if (cells["dataset"] == name).any()]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    inches = max(6.4, 3.2 * columns)
    legend_columns = int(inches // _LEGEND_INCHES)
    legend_rows = -(-len(request.titles) // legend_columns)
    size = (inches, 2.7 * rows + 0.25 * legend_rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axes, name in zip(grid.flat, panels, strict=False):
        _panel(axes, curve[curve["dataset"] == name], request)
        axes.set_xticks(list(ticks), list(ticks.values()))
        title = request.heading(name).replace("_", " ")
        axes.set_title(title, fontsize=10, fontweight="bold" if name == AVERAGE else None)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.supylabel(measured.axis, fontsize=10)
    figure.supxlabel("session" if measured.step else "training images per class", fontsize=10)
    legends = [axes.get_legend_handles_labels() for axes in grid.flat]
    handles = {label: handle for own in legends for handle, label in zip(*own, strict=True)}
    order = [title for title in request.titles.values() if title in handles]
    _legend(figure, [handles[title] for title in order], order, legend_columns)
    return figure


def _panel(axes: Axes, cells: pd.DataFrame, request: Request) -> None:
    for method, title in request.titles.items():
        own = cells[cells["method"] == method].sort_values("x")
        if own.empty:
            continue
        untrained = (own["shots"] == 0).all()
        axes.errorbar(
            own["x"],
            own["mean"],
            yerr=own["std"],
            color=plt.get_cmap("tab10")(_family(method, request.titles)),
            linestyle="none" if untrained and len(own) == 1 else "-" if is_cascaded(method) else "--",
            linewidth=1.4,
            marker="*" if untrained else _MARKERS[_plugin(method, request.titles)],
            markersize=9 if untrained else 3.5,
            elinewidth=0.8,
            label=title,
        )
    _tidy(axes)


def _family(method: str, methods: Iterable[str]) -> int:
    """The index of a colour that a method shares with its cascaded form, and with its plug-ins."""
    families = [name.partition("+")[0] for name in (method, *methods)]
    return list(dict.fromkeys(families[1:])).index(families[0]) % 10


def _plugin(method: str, methods: Iterable[str]) -> int:
    """The index of a marker, or a hatch, that methods with one plug-in share; 0 without one."""
    plugins = [MethodParts.of(name).plugin for name in (method, *methods)]
    return list(dict.fromkeys([None, *plugins[1:]])).index(plugins[0]) % len(_MARKERS)


def _legend(figure: Figure, handles: list, labels: list[str], columns: int) -> None:
    figure.legend(handles, labels, ncols=columns, loc="outside upper center", frameon=False, fontsize=9)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
