"""A table of a protocol that the report has never heard of, with sessions, and forgetting to keep low."""

import pandas as pd
import pytest
from PIL import Image
from report_runs import TITLES, run

from promptdistill.protocols.base import Metric, Table
from promptdistill.report import plot
from promptdistill.report.gains import gains
from promptdistill.report.render import write_table
from promptdistill.report.request import Request
from promptdistill.report.summary import select, summarise
from promptdistill.report.tables import build

POINTS = [f"after_{session}" for session in range(1, 11)]
REQUEST = Request(
    protocol="sessions",
    table=Table(
        name="sessions",
        title="Sessions",
        about="About.",
        columns="metrics",
        headline="average",
        curve="sessions",
    ),
    metrics=(
        Metric(name="average", heading="Average"),
        Metric(name="last", heading="Last"),
        Metric(name="forgetting", heading="Forgetting", axis="points", lower_is_better=True),
        *(
            Metric(name=name, heading=name, axis="accuracy so far (%)", step=step)
            for step, name in enumerate(POINTS, 1)
        ),
    ),
    datasets=("a", "b_c"),
    titles=TITLES,
    shots=(16,),
    seeds=(1, 2),
)
START = {"zero_shot": (60, 0.0, 3), "coop": (90, 4, 8), "coop+caspl": (92, 2.5, 5)}


def sessions(dataset, method, seed):
    start, lost, forgetting = START[method]
    start -= (dataset == "a") * 5 - (seed or 0)
    curve = {name: start - lost * index for index, name in enumerate(POINTS)}
    means = {"average": sum(curve.values()) / len(curve), "last": curve["after_10"], "forgetting": forgetting}
    return run(dataset, method, seed, protocol="sessions", **means, **curve)


RUNS = [
    sessions(dataset, method, seed)
    for dataset in REQUEST.datasets
    for method in TITLES
    for seed in ((1, 2) if START[method][1] else (None,))
]


@pytest.fixture(scope="module")
def cells():
    return summarise(select(RUNS, REQUEST), REQUEST)


def test_points_of_the_curve_are_in_the_csv_and_not_on_the_page(tmp_path):
    write_table(RUNS, REQUEST, tmp_path / "t")
    assert set(pd.read_csv(tmp_path / "t.csv")["metric"]) == {"average", "last", "forgetting", *POINTS}
    assert list(pd.read_csv(tmp_path / "t_seeds.csv").columns[5:-2]) == REQUEST.names
    markdown = (tmp_path / "t.md").read_text()
    assert "| Method | Average | Last | Forgetting |\n" in markdown
    assert "after_" not in markdown


def test_less_forgetting_ranks_first_and_wins(cells):
    page = build(cells, gains(cells, REQUEST), REQUEST)
    ranks = [[cell.rank for cell in row.cells] for row in page.blocks[0].rows]
    assert ranks == [[None, 2, 1], [2, None, None], [1, 1, 2]]
    assert "Less is better: Forgetting." in page.legend
    (row,) = page.gains.rows
    assert page.gains.columns == ["Average", "Last", "Forgetting"]
    assert (row.cells[2].value, row.cells[2].note) == ("−3.00", "2/0/0, p = 0.500")
    assert row.cells[1].note == "2/0/0, p = 0.500"


def test_published_numbers_are_those_of_the_page(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(
        "method,dataset,shots,average,last,forgetting,backbone\ncoop,a,16,70,60,5,ViT-B-16:openai\n"
    )
    cells = summarise(select(RUNS, REQUEST), REQUEST, path)
    own = cells[(cells["dataset"] == "a") & (cells["method"] == "coop")].set_index("metric")["published"]
    assert own[["average", "last", "forgetting"]].tolist() == [70, 60, 5]
    assert own[POINTS].isna().all()


def test_lines_run_over_the_sessions(cells, tmp_path):
    figure = plot._lines(cells, REQUEST)
    assert [axes.get_title() for axes in figure.axes] == ["average", "a", "b c"]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("session", "accuracy so far (%)")
    axes = figure.axes[1]
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(number) for number in range(1, 11)]
    clip, plain, cascaded = (container.lines[0] for container in axes.containers)
    assert list(plain.get_xdata()) == list(range(1, 11))
    assert list(plain.get_ydata()) == [86.5 - 4 * index for index in range(10)]
    assert [line.get_linestyle() for line in (clip, plain, cascaded)] == ["--", "--", "-"]
    plot.plt.close(figure)
    plot.write_plot(cells, REQUEST, tmp_path / "t.png")
    with Image.open(tmp_path / "t.png") as image:
        assert 600 < image.width < 3000
        assert 300 < image.height < 3000
