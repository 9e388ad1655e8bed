"""Plots: readable sizes, and nothing missing that the table has."""

import pytest
from PIL import Image
from report_runs import EVERY_TABLE, FEW, HALVES, TRANSFER, ask

from promptdistill.report import plot
from promptdistill.report.summary import select, summarise


def cells_of(metrics, request):
    return summarise(select(metrics, request), request)


@pytest.mark.parametrize(
    ("metrics", "request_"), EVERY_TABLE, ids=lambda part: getattr(getattr(part, "table", None), "name", "")
)
def test_size(metrics, request_, tmp_path):
    plot.write_plot(cells_of(metrics, request_), request_, tmp_path / "t.png")
    with Image.open(tmp_path / "t.png") as image:
        assert 400 < image.width < 3000
        assert 300 < image.height < 3000


def test_bars_are_the_means():
    figure = plot._bars(cells_of(TRANSFER, ask("cross_dataset")), ask("cross_dataset"))
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == ["s\n(source)", "a", "b", "average\nof targets"]
    heights = {
        bars.get_label(): list(bars.datavalues) for bars in axes.containers if hasattr(bars, "datavalues")
    }
    assert heights["CoOp"] == [92, 62, 42, 52]
    plot.plt.close(figure)


def test_bars_of_base_to_novel_are_harmonic_means():
    figure = plot._bars(cells_of(HALVES, ask()), ask())
    bars = next(bars for bars in figure.axes[0].containers if bars.get_label() == "CLIP")
    assert list(bars.datavalues) == pytest.approx([48, 2 * 80 * 60 / 140, 2 * 70 * 50 / 120])
    plot.plt.close(figure)


def test_lines_run_over_shots_on_a_scale_of_powers_of_two():
    request = ask("few_shot", shots=(1, 4), seeds=(1, 2))
    figure = plot._lines(cells_of(FEW, request), request)
    assert [axes.get_title() for axes in figure.axes] == ["average", "a", "b"]
    axes = figure.axes[1]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "4"]
    clip, plain, cascaded = (container.lines[0] for container in axes.containers)
    assert (list(clip.get_xdata()), list(clip.get_ydata())) == ([-1], [50])
    assert (list(plain.get_xdata()), list(plain.get_ydata())) == ([0, 2], [62.5, 65.5])
    assert plain.get_color() == cascaded.get_color() != clip.get_color()
    assert (plain.get_linestyle(), cascaded.get_linestyle()) == ("--", "-")
    plot.plt.close(figure)
