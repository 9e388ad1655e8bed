"""Gains of cascading: paired averages, wins and losses, and the test over data sets."""

import pytest
from report_runs import FEW, HALVES, TRANSFER, ask, few, halves, transfer
from scipy.stats import wilcoxon

from promptdistill.report.gains import COLUMNS, gains, p_value
from promptdistill.report.summary import select, summarise

PLAIN = {"a": 50.0, "b": 60.0, "c": 70.0, "d": 40.0, "e": 30.0}
CASCADED = {"a": 51.0, "b": 63.0, "c": 68.0, "d": 40.001, "e": 35.0}
FIVE = [transfer(name, "coop", 1, value) for name, value in PLAIN.items()] + [
    transfer(name, "coop+caspl", 1, value) for name, value in CASCADED.items()
]


def gains_of(metrics, request):
    return gains(summarise(select(metrics, request), request), request)


def test_wins_ties_losses_and_p_by_hand():
    request = ask("cross_dataset", tuple(PLAIN), seeds=(1,))
    table = gains_of(FIVE, request)
    assert list(table.columns) == COLUMNS
    (row,) = table.to_dict("records")
    assert (row["method"], row["title"], row["shots"]) == ("coop+caspl", "CoOp + CasPL", 16)
    assert row["gain"] == pytest.approx(1.4)  # 51.40 - 50.00 as displayed
    assert (row["wins"], row["ties"], row["losses"], row["datasets"]) == (3, 1, 1, 5)  # d ties at 40.00
    # ranks of |difference|: a 1, c 2, b 3, e 4; d is a tie; 3 of 16 sign patterns reach the negative sum 2
    assert row["p"] == pytest.approx(2 * 3 / 16)
    assert row["p"] == pytest.approx(wilcoxon([1, 3, -2, 0, 5]).pvalue)


def test_the_source_takes_no_part():
    request = ask("cross_dataset", tuple(PLAIN), seeds=(1,))
    source = [transfer("s", "coop", 1, 10), transfer("s", "coop+caspl", 1, 90)]
    assert gains_of([*FIVE, *source], request).equals(gains_of(FIVE, request))


def test_the_gain_of_hm_is_that_of_the_average_hms():
    metrics = [
        *[halves(name, "coop", 1, base, novel) for name, base, novel in (("a", 90, 50), ("b", 60, 70))],
        *[halves(name, "coop+caspl", 1, base, novel) for name, base, novel in (("a", 90, 60), ("b", 66, 70))],
    ]
    request = ask(seeds=(1,))
    cells = summarise(select(metrics, request), request)
    table = gains(cells, request).set_index("metric")
    assert table["gain"].to_dict() == pytest.approx({"base": 3, "novel": 5, "hm": 70.91 - 66.67})
    shown = cells[cells["dataset"] == "average"].set_index(["method", "metric"])["mean"].round(2)
    for metric in ("base", "novel", "hm"):
        assert table["gain"][metric] == pytest.approx(shown["coop+caspl", metric] - shown["coop", metric])


def test_only_data_sets_that_both_have_in_full_are_compared():
    table = gains_of(HALVES, ask()).set_index("metric")  # b of the cascaded method lacks a seed
    assert set(table["datasets"]) == {1}
    assert table["gain"].to_dict() == pytest.approx({"base": 8, "novel": 10, "hm": 68.57 - 59.02})
    assert table["p"].isna().all()


def test_every_number_of_shots_is_compared_apart():
    table = gains_of(FEW, ask("few_shot", shots=(1, 4), seeds=(1, 2)))
    assert table["shots"].tolist() == [4]  # the cascaded method has no 1-shot run
    more = [few(name, "coop+caspl", 1, seed, 50) for name in "ab" for seed in (1, 2)]
    table = gains_of([*FEW, *more], ask("few_shot", shots=(1, 4), seeds=(1, 2))).set_index("shots")
    assert table["gain"].to_dict() == pytest.approx({1: 50 - 62.5, 4: 71.5 - 65.5})
    assert table["losses"].to_dict() == {1: 2, 4: 0}


def test_no_gain_without_both_methods():
    plain_only = [row for row in TRANSFER if row["method"] == "coop"]
    assert gains_of(plain_only, ask("cross_dataset")).empty
    without_plain = ask("cross_dataset", titles={"coop+caspl": "CoOp + CasPL"})
    assert gains_of(TRANSFER, without_plain).empty


@pytest.mark.parametrize("differences", [[], [1.0], [0.0, 0.0], [0.1 + 0.2 - 0.3, 0.0]])
def test_no_p_without_two_data_sets_that_differ(differences):
    import pandas as pd

    assert p_value(pd.Series(differences, dtype=float)) is None


def test_p_cannot_fall_below_what_the_legend_says():
    import pandas as pd

    for count in range(2, 14):
        assert p_value(pd.Series(range(1, count + 1))) == pytest.approx(2.0 ** (1 - count))
        assert p_value(pd.Series([1.0] * count)) >= 2.0 ** (1 - count) - 1e-12  # all ranks tied
