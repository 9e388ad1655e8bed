"""What cascading on boosting prompts gains, over data sets."""

from typing import Any

import pandas as pd
from scipy.stats import wilcoxon

from ..evaluation.metrics import harmonic_mean
from ..run import split_method
from .request import Request

COLUMNS = "method title figure shots gain wins ties losses datasets p".split()
DECIMALS = 2  # as displayed: what looks equal counts as equal


def gains(cells: pd.DataFrame, request: Request) -> pd.DataFrame:
    """One row per cascaded method that stands beside its plain one, figure and number of shots.

    Both are compared on the `request.datasets` that both have with all seeds; without one there is no
    row.  Columns: COLUMNS; `gain` in points is the difference of the two averages over these data sets
    as displayed (of HM: of the harmonic means of the averages), `wins`, `ties` and `losses` count data
    sets by the figures as displayed, `p` is the two-sided paired Wilcoxon signed-rank test's, missing for
    less than two data sets and where no data set differs.
    """
    full = cells[cells["dataset"].isin(request.datasets) & ~cells["partial"].astype(bool)]
    wide = full.pivot(index="dataset", columns=["method", "shots", "figure"], values="mean")
    wide = wide.sort_index(axis="columns")  # pandas is slow, and warns, in an unsorted index
    rows = []
    for method, title in request.titles.items():
        plain, cascaded = split_method(method)
        for shots in request.shots:
            if cascaded and (plain, shots) in wide and (method, shots) in wide:
                found = _compare(wide[(plain, shots)], wide[(method, shots)], request.figures)
                rows += [{"method": method, "title": title, "shots": shots, **row} for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def p_value(differences: pd.Series) -> float | None:
    """Two-sided Wilcoxon signed-rank p of paired differences; None for less than two, or all zero."""
    differences = differences.round(9)  # else rounding errors of a subtraction would count as ranks
    if len(differences) < 2 or not differences.any():
        return None
    return float(wilcoxon(differences).pvalue)


def _compare(plain: pd.DataFrame, cascaded: pd.DataFrame, figures: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row for each figure; both frames have data sets as index and figures as columns."""
    both = plain.index[plain.notna().all(axis=1) & cascaded.notna().all(axis=1)]
    plain, cascaded = plain.loc[both], cascaded.loc[both]
    if both.empty:
        return []
    before, after = _averages(plain), _averages(cascaded)
    return [
        {
            "figure": figure,
            "gain": shown(after[figure]) - shown(before[figure]),
            **wins_ties_losses(plain[figure].map(shown), cascaded[figure].map(shown)),
            "datasets": len(both),
            "p": p_value(cascaded[figure].map(shown) - plain[figure].map(shown)),
        }
        for figure in figures
    ]


def shown(value: float) -> float:
    """A figure as a reader sees it, rounded to two decimals."""
    return round(float(value), DECIMALS)


def _averages(figures: pd.DataFrame) -> dict[str, float]:
    means = figures.mean().to_dict()
    if "hm" in means:
        means["hm"] = harmonic_mean(means["base"], means["novel"])
    return means


def wins_ties_losses(before: pd.Series, after: pd.Series) -> dict[str, int]:
    """How often `after` is above, equal to and below `before`; both have the same index."""
    return {
        "wins": int((after > before).sum()),
        "ties": int((after == before).sum()),
        "losses": int((after < before).sum()),
    }
