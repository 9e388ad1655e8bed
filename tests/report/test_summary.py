"""From runs to cells: metrics by hand, what counts, and what is refused."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import BOTH, FEW, HALVES, TRANSFER, ask, few, halves, transfer

from promptdistill.errors import UserError
from promptdistill.report.summary import COLUMNS, seeds_of, select, summarise


def cells_of(metrics, request):
    return summarise(select(metrics, request), request)


def cell(cells, dataset, method, metric, shots=None):
    own = cells[(cells["dataset"] == dataset) & (cells["method"] == method) & (cells["metric"] == metric)]
    own = own if shots is None else own[own["shots"] == shots]
    assert len(own) == 1
    return own.iloc[0]


def test_mean_and_deviation_over_seeds():
    cells = cells_of(HALVES, ask())
    assert list(cells.columns) == COLUMNS
    base = cell(cells, "a", "coop", "base")
    assert (base["mean"], base["std"], base["seeds"], base["partial"]) == (72, 1, 3, False)
    assert cell(cells, "a", "coop", "novel")["mean"] == 50


def test_one_run_has_no_deviation_and_is_whole_where_nothing_learns():
    clip = cell(cells_of(HALVES, ask()), "a", "zero_shot", "base")
    assert pd.isna(clip["std"])
    assert (clip["shots"], clip["seeds"], clip["partial"]) == (0, 1, False)


def test_hm_is_of_the_means_and_its_deviation_of_the_seeds():
    cells = cells_of(HALVES, ask())
    hm = cell(cells, "a", "coop", "hm")
    assert hm["mean"] == pytest.approx(2 * 72 * 50 / 122)
    assert hm["std"] == pytest.approx(pd.Series([2 * b * 50 / (b + 50) for b in (71, 72, 73)]).std())
    average = cell(cells, "average", "coop", "hm")
    assert average["mean"] == pytest.approx(2 * 81 * 56 / 137)  # means of 72, 90 and of 50, 62
    by_seed = [(80.5, 55.5), (81, 56), (81.5, 56.5)]
    assert average["std"] == pytest.approx(pd.Series([2 * b * n / (b + n) for b, n in by_seed]).std())


def test_an_average_takes_only_seeds_that_every_data_set_has():
    cells = cells_of(HALVES, ask())
    average = cell(cells, "average", "coop+caspl", "base")
    assert (average["mean"], average["seeds"], average["partial"]) == (85, 2, True)
    only_a_third = [row for row in HALVES if row["dataset"] == "a" or row["seed"] is None]
    assert "coop" not in set(
        cells_of(only_a_third, ask()).query("dataset == 'average'")["method"]
    )  # no seed is complete


def test_fewer_seeds_than_asked_for_are_partial():
    cells = cells_of(HALVES, ask())
    assert cell(cells, "b", "coop+caspl", "base")["partial"]
    assert not cell(cells, "a", "coop+caspl", "base")["partial"]
    assert not cells_of(HALVES, ask(seeds=(1, 2)))["partial"].any()


def test_the_average_of_a_transfer_excludes_the_source():
    cells = cells_of(TRANSFER, ask("cross_dataset"))
    assert cell(cells, "s", "coop", "accuracy")["mean"] == 92
    average = cell(cells, "average", "coop", "accuracy")
    assert (average["mean"], average["std"]) == (52, 1)  # of 62 and 42, not of 92
    assert list(cells["dataset"].unique()) == ["s", "a", "b", "average"]


def test_missing_results_have_no_row():
    cells = cells_of(HALVES[2:5], ask())
    assert set(zip(cells["dataset"], cells["method"], strict=True)) == {("a", "coop")}


def test_few_shot_keeps_every_number_of_shots_apart():
    cells = cells_of(FEW, ask("few_shot", shots=(1, 4), seeds=(1, 2)))
    assert cell(cells, "a", "coop", "accuracy", 1)["mean"] == 62.5
    assert cell(cells, "average", "coop", "accuracy", 4)["mean"] == 65.5
    assert cell(cells, "average", "zero_shot", "accuracy", 0)["mean"] == 55


def test_what_was_not_asked_for_is_left_out():
    strange = [
        halves("a", "coop", 9, 1, 1),
        halves("a", "coop", 1, 1, 1, shots=4),
        halves("z", "coop", 1, 1, 1),
        halves("a", "maple", 1, 1, 1),
        few("a", "coop", 16, 1, 1),
    ]
    plain = cells_of(HALVES, ask())
    pd.testing.assert_frame_equal(cells_of([*HALVES, *strange], ask()), plain)
    elsewhere = transfer("a", "coop", 1, 1, source="elsewhere")
    request = ask("cross_dataset")
    pd.testing.assert_frame_equal(cells_of([*TRANSFER, elsewhere], request), cells_of(TRANSFER, request))


def test_learning_from_a_target_s_own_unlabelled_images_counts_as_transfer():
    own = [transfer("a", "zero_shot", 1, 70, source="a", transductive=BOTH, unlabelled=True)]
    cells = cells_of(own, ask("cross_dataset", seeds=(1,)))
    assert cell(cells, "a", "zero_shot", "accuracy")["mean"] == 70
    with pytest.raises(UserError, match="no transfer result"):
        select([{**own[0], "unlabelled": False}], ask("cross_dataset"))


def test_an_average_bears_the_strongest_mark_of_its_data_sets():
    metrics = [
        transfer("a", "coop", 1, 50),
        transfer("b", "coop", 1, 50, transductive="class names"),
        transfer("a", "coop+caspl", 1, 50, transductive=BOTH),
        transfer("b", "coop+caspl", 1, 50, transductive="class names"),
        transfer("a", "zero_shot", None, 50),
        transfer("b", "zero_shot", None, 50),
        transfer("s", "zero_shot", None, 50, transductive=BOTH),
    ]
    cells = cells_of(metrics, ask("cross_dataset"))
    marks = cells[cells["dataset"] == "average"].set_index("method")["transductive"]
    assert marks["coop"] == "class names"
    assert marks["coop+caspl"] == BOTH
    assert pd.isna(marks["zero_shot"])  # the source is not in the average


def test_every_seed_is_kept_with_its_predictions():
    request = ask()
    seeds = seeds_of(select(HALVES, request), request)
    assert len(seeds) == len(HALVES)
    assert seeds["base"].tolist() == [row["base"] for row in HALVES]
    assert seeds["predictions"].tolist() == [row["predictions"] for row in HALVES]


def test_two_students_are_refused():
    other = {**HALVES[3], "student": "RN50:openai", "student_sha256": "c" * 64}
    with pytest.raises(UserError, match=r"two students, ViT-B-16:openai \(a+, .* and RN50:openai \(c+,"):
        select([*HALVES[:3], other], ask())
    select([*HALVES, {**other, "dataset": "z"}], ask())  # not in this table


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"transductive": "a bit"}, "say 'a bit' for transductive"),
        ({"hm": None}, "have no hm: make the metrics again"),
        ({"seed": 1}, "hold one run twice, from .* drop one"),
    ],
)
def test_unusable_runs_are_refused(changed, message):
    with pytest.raises(UserError, match=message):
        select([HALVES[2], {**HALVES[3], **changed}], ask())


def test_lacking_keys_and_empty_metrics_are_refused():
    lacking = {key: value for key, value in HALVES[2].items() if key not in ("source", "student_sha256")}
    with pytest.raises(UserError, match="lack source, student_sha256: make the metrics again"):
        select([lacking], ask())
    with pytest.raises(UserError, match="hold no few_shot result"):
        select(HALVES, ask("few_shot"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"table": "nonsense"}, "no table 'nonsense'"),
        ({"shots": (1, 2)}, "one number of shots, not 2"),
        ({"datasets": ("average",)}, "cannot be called 'average'"),
        ({"table": "cross_dataset", "source": "average"}, "cannot be called 'average'"),
    ],
)
def test_impossible_requests_are_refused(changed, message):
    with pytest.raises(UserError, match=message):
        ask(**changed)


percent = st.floats(0, 100, allow_nan=False)


@given(st.lists(st.tuples(percent, percent), min_size=1, max_size=6))
def test_an_average_lies_between_the_least_and_the_greatest(pairs):
    names = tuple(f"d{number}" for number in range(len(pairs)))
    metrics = [
        {**halves(name, "coop", 1, base + 1e-9, novel), "hm": 0.0}
        for name, (base, novel) in zip(names, pairs, strict=True)
    ]
    cells = cells_of(metrics, ask(datasets=names))
    for metric in ("base", "novel"):
        own = cells[cells["metric"] == metric].set_index("dataset")["mean"]
        singles = own.drop("average")
        assert singles.min() - 1e-6 <= own["average"] <= singles.max() + 1e-6
    average = cells[cells["dataset"] == "average"].set_index("metric")["mean"]
    assert average["hm"] <= (average["base"] + average["novel"]) / 2 + 1e-6
