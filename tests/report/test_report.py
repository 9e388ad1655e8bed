"""The base-to-novel table: its figures by hand, and its forms."""

import pytest

from promptdistill.errors import UserError
from promptdistill.report import plot, render
from promptdistill.report.base_to_novel import gains, summarise

TITLES = {"zero_shot": "CLIP", "coop": "CoOp", "coop+caspl": "CoOp + CasPL"}


def row(dataset, method, seed, base, novel):
    hm = 2 * base * novel / (base + novel)
    return {"dataset": dataset, "method": method, "seed": seed, "base": base, "novel": novel, "hm": hm}


METRICS = [
    row("a", "zero_shot", None, 60, 40),
    row("b", "zero_shot", None, 80, 60),
    *[row("a", "coop", seed, 70 + seed, 50) for seed in (1, 2, 3)],
    *[row("b", "coop", seed, 90, 60 + seed) for seed in (1, 2, 3)],
    *[row("a", "coop+caspl", seed, 80, 60) for seed in (1, 2, 3)],
    *[row("b", "coop+caspl", seed, 90, 70) for seed in (1, 2)],
]


@pytest.fixture
def cells():
    return summarise(METRICS, ["a", "b"], TITLES, None)


def cell(cells, dataset, method):
    return cells[(cells["dataset"] == dataset) & (cells["method"] == method)].iloc[0]


def test_figures_by_hand(cells):
    coop = cell(cells, "a", "coop")
    assert (coop["base"], coop["base_std"], coop["novel"], coop["seeds"]) == (72, 1, 50, 3)
    assert coop["hm"] == pytest.approx(2 * 72 * 50 / 122)
    average = cell(cells, "average", "coop")
    assert (average["base"], average["novel"]) == (81, 56)  # means of 72, 90 and of 50, 62
    assert average["hm"] == pytest.approx(2 * 81 * 56 / 137)
    assert average["base_std"] == pytest.approx(0.5)
    clip = cell(cells, "average", "zero_shot")
    assert (clip["base"], clip["novel"]) == (70, 50)
    assert clip["base_std"] != clip["base_std"]  # one run has no deviation


def test_an_average_takes_only_seeds_that_every_data_set_has(cells):
    assert cell(cells, "average", "coop+caspl")["seeds"] == 2


def test_missing_results_have_no_row():
    cells = summarise(METRICS[2:5], ["a", "b"], TITLES, None)
    assert [(r["dataset"], r["method"]) for _, r in cells.iterrows()] == [("a", "coop")]


def test_gains(cells):
    (title, gain), *others = gains(cells)
    assert (title, others) == ("CoOp + CasPL", [])
    assert gain["base"] == pytest.approx(85 - 81)


def test_published_numbers_stand_beside(tmp_path):
    published = tmp_path / "published.csv"
    published.write_text("method,dataset,base,novel,hm,source\ncoop,a,71,49,58,paper\n")
    cells = summarise(METRICS, ["a", "b"], TITLES, published)
    assert cell(cells, "a", "coop")["published_hm"] == 58
    assert cell(cells, "b", "coop")["published_hm"] != cell(cells, "b", "coop")["published_hm"]
    render.write_tables(cells, tmp_path / "t", note="", config_hash="")
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert "| CoOp | 72.00 ± 1.00 | 50.00 ± 0.00 | 59.02 ± 0.34 | 71.00 | 49.00 | 58.00 |" in lines
    published.write_text("nonsense\n")
    with pytest.raises(UserError, match="must be a CSV file of published numbers with the columns"):
        summarise(METRICS, ["a", "b"], TITLES, published)


def test_forms(cells, tmp_path):
    """Markdown and HTML hold the same rows; the note and the mark of transductive methods are there."""
    import pandas as pd

    render.write_tables(cells, tmp_path / "t", note="A <note>.", config_hash="abc")
    markdown, html = (tmp_path / "t.md").read_text(), (tmp_path / "t.html").read_text()
    assert "| **CoOp + CasPL †** | 80.00 ± 0.00 | 60.00 ± 0.00 | 68.57 ± 0.00 |" in markdown
    assert "(2 of 3 seeds)" in markdown
    assert "† transductive" in markdown
    assert "A &lt;note&gt;." in html
    assert html.count(" ± ") == markdown.count(" ± ") > 15
    again = pd.read_csv(tmp_path / "t.csv")
    assert again["hm"].tolist() == pytest.approx(cells["hm"].tolist(), abs=1e-4)
    first = (tmp_path / "t.md").read_bytes()
    render.write_tables(cells, tmp_path / "t", note="A <note>.", config_hash="abc")
    assert (tmp_path / "t.md").read_bytes() == first


def test_every_seed_stands_in_a_file_of_its_own(tmp_path):
    import pandas as pd

    rows = [{**r, "shots": 16, "images": 10, "predictions": "p.parquet"} for r in METRICS]
    render.write_seeds(rows, tmp_path / "t")
    seeds = pd.read_csv(tmp_path / "t_seeds.csv")
    assert len(seeds) == len(METRICS)
    assert seeds["base"].tolist() == [r["base"] for r in METRICS]


def test_plot(cells, tmp_path):
    from PIL import Image

    plot.write_bars(cells, tmp_path / "t.png")
    with Image.open(tmp_path / "t.png") as image:
        assert image.width > 400
    first = (tmp_path / "t.png").read_bytes()
    plot.write_bars(cells, tmp_path / "t.png")
    assert (tmp_path / "t.png").read_bytes() == first
