"""A method beside its variants: paired differences by hand, and the page."""

import shutil
import subprocess

import pandas as pd
import pytest
from report_runs import ask, halves

from promptdistill.config.entries import Variant
from promptdistill.protocols.base_to_novel import harmonic_mean
from promptdistill.report.gains import VARIANT_COLUMNS, differences
from promptdistill.report.render import write_ablation
from promptdistill.report.summary import select, summarise

TITLES = {"coop": "CoOp", "coop@short": "4 tokens", "coop@end": "names first", "coop@none": "not run"}
VARIANTS = {
    "coop@short": Variant(title="4 tokens", group="Tokens", hyperparameters={"n_ctx": 4}),
    "coop@end": Variant(title="names first", group="Position", hyperparameters={"ctx_init": None}),
    "coop@none": Variant(title="not run", group="Position", hyperparameters={"n_ctx": 1}),
}
NUMBERS = {  # data set -> seed -> (base, novel)
    "coop": {"a": {1: (80, 60), 2: (82, 60)}, "b": {1: (70, 50), 2: (70, 54)}},
    "coop@short": {"a": {1: (80, 62), 2: (82, 61)}, "b": {1: (70, 50), 2: (70, 53)}},
    "coop@end": {"a": {1: (80, 60), 2: (82, 60)}, "b": {1: (70, 50), 2: (70, 54)}},
}
METRICS = [
    halves(dataset, method, seed, base, novel)
    for method, datasets in NUMBERS.items()
    for dataset, seeds in datasets.items()
    for seed, (base, novel) in seeds.items()
]
REQUEST = ask(seeds=(1, 2), titles=TITLES)


@pytest.fixture
def rows():
    runs = select(METRICS, REQUEST)
    return differences(runs, summarise(runs, REQUEST), REQUEST, VARIANTS)


def test_differences_by_hand(rows):
    assert list(rows.columns) == VARIANT_COLUMNS
    rows = rows.set_index(["method", "metric"])
    novel = rows.loc[("coop@short", "novel")]
    assert novel["mean"] == pytest.approx((61.5 + 51.5) / 2)
    assert novel["difference"] == pytest.approx(56.5 - 56)
    # seed 1: 56 against 55; seed 2: 57 against 57
    assert novel["difference_std"] == pytest.approx(0.5**0.5)
    assert (novel["wins"], novel["ties"], novel["losses"], novel["runs"]) == (2, 1, 1, 4)
    hm = rows.loc[("coop@short", "hm")]
    before, after = harmonic_mean(75.5, 56), harmonic_mean(75.5, 56.5)
    assert hm["difference"] == pytest.approx(round(after, 2) - round(before, 2))
    by_seed = [harmonic_mean(75, 56) - harmonic_mean(75, 55), 0]
    assert hm["difference_std"] == pytest.approx(pd.Series(by_seed).std())
    same = rows.loc[("coop@end", "hm")]
    assert (same["difference"], same["ties"], same["group"]) == (0, 4, "Position")
    assert pd.isna(same["p"])


def test_the_method_itself_has_no_difference_and_a_variant_without_runs_no_row(rows):
    assert rows[rows["method"] == "coop"]["difference"].isna().all()
    assert set(rows["method"]) == {"coop", "coop@short", "coop@end"}


def test_missing_seeds_are_not_compared():
    runs = select([row for row in METRICS if (row["method"], row["seed"]) != ("coop@end", 2)], REQUEST)
    rows = differences(runs, summarise(runs, REQUEST), REQUEST, VARIANTS).set_index("method")
    assert rows.loc["coop@end", "difference"].isna().all()
    assert rows.loc["coop@short", "difference"].notna().all()


def test_a_cascaded_method_is_marked_as_transductive(tmp_path):
    metrics = [row | {"transductive": "images and class names"} for row in METRICS]
    write_ablation(metrics, REQUEST, VARIANTS, tmp_path / "ablation")
    markdown = (tmp_path / "ablation.md").read_text()
    assert "| CoOp † |" in markdown
    assert "† The method saw unlabelled images" in markdown
    write_ablation(METRICS, REQUEST, VARIANTS, tmp_path / "plain")
    assert "†" not in (tmp_path / "plain.md").read_text()


def test_one_seed_has_no_deviation_but_a_page(tmp_path):
    request = ask(seeds=(1,), titles=TITLES)
    write_ablation(METRICS, request, VARIANTS, tmp_path / "ablation")
    assert "| 4 tokens | 75.00 | 56.00 |" in (tmp_path / "ablation.md").read_text()
    assert (tmp_path / "ablation.png").stat().st_size > 0


def test_every_form(tmp_path):
    write_ablation(METRICS, REQUEST, VARIANTS, tmp_path / "ablation", note="Hello.")
    markdown = (tmp_path / "ablation.md").read_text()
    assert "# Ablation: CoOp" in markdown
    assert "## Tokens" in markdown
    assert "| 4 tokens | 75.50 ± 0.71 | 56.50 ± 0.71 |" in markdown
    assert "+0.50 ± 0.71 (2/1/1" in markdown
    assert "Hello." in markdown
    assert r"$\Delta$ HM" in (tmp_path / "ablation.tex").read_text()
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")
    for ending in (".csv", "_seeds.csv", ".html", ".tex"):
        assert (tmp_path / f"ablation{ending}").stat().st_size


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    request = ask(seeds=(1, 2), titles=TITLES | {"coop@short": "τ = 0.5, 8 %"})
    write_ablation(METRICS, request, VARIANTS, tmp_path / "t")
    page = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{t.tex}\end{document}"
    (tmp_path / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page"]
    subprocess.run(command, cwd=tmp_path, check=True)
