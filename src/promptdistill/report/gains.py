"""What cascading on boosting prompts gains, over data sets."""

from typing import Any

import pandas as pd
from scipy.stats import wilcoxon

from ..protocols.base import Metric
from ..run import split_method
from .request import Request

COLUMNS = "method title metric shots gain wins ties losses datasets p".split()
DECIMALS = 2  # as displayed: what looks equal counts as equal


def gains(cells: pd.DataFrame, request: Request) -> pd.DataFrame:
    """One row per cascaded method that stands beside its plain one, metric and number of shots.

    Both are compared on the `request.datasets` that both have with all seeds; without one there is no
    row.  Columns: COLUMNS; `gain` in points is the difference of the two averages over these data sets
    as displayed (of HM: of the harmonic means of the averages), `wins`, `ties` and `losses` count data
    sets by the metrics as displayed, `p` is the two-sided paired Wilcoxon signed-rank test's, missing for
    less than two data sets and where no data set differs.
    """
    full = cells[cells["dataset"].isin(request.datasets) & ~cells["partial"].astype(bool)]
    wide = full.pivot(index="dataset", columns=["method", "shots", "metric"], values="mean")
    wide = wide.sort_index(axis="columns")  # pandas is slow, and warns, in an unsorted index
    rows = []
    for method, title in request.titles.items():
        plain, cascaded = split_method(method)
        for shots in request.shots:
            if cascaded and (plain, shots) in wide and (method, shots) in wide:
                found = _compare(wide[(plain, shots)], wide[(method, shots)], request)
                rows += [{"method": method, "title": title, "shots": shots, **row} for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def p_value(differences: pd.Series) -> float | None:
    """Two-sided Wilcoxon signed-rank p of paired differences; None for less than two, or all zero."""
    differences = differences.round(9)  # else rounding errors of a subtraction would count as ranks
    if len(differences) < 2 or not differences.any():
        return None
    return float(wilcoxon(differences).pvalue)


def _compare(plain: pd.DataFrame, cascaded: pd.DataFrame, request: Request) -> list[dict[str, Any]]:
    """A row for each metric; both frames have data sets as index and metrics as columns."""
    both = plain.index[plain.notna().all(axis=1) & cascaded.notna().all(axis=1)]
    plain, cascaded = plain.loc[both], cascaded.loc[both]
    if both.empty:
        return []
    before, after = (request.averages(own.mean().to_dict()) for own in (plain, cascaded))
    plain, cascaded = plain.map(shown), cascaded.map(shown)
    return [
        {
            "metric": name,
            "gain": shown(after[name]) - shown(before[name]),
            **wins_ties_losses(plain[name], cascaded[name], metric),
            "datasets": len(both),
            "p": p_value(cascaded[name] - plain[name]),
        }
        for metric in request.metrics
        for name in [metric.name]
    ]


def shown(value: float) -> float:
    """A number as a reader sees it, rounded to two decimals."""
    return round(float(value), DECIMALS)


def wins_ties_losses(before: pd.Series, after: pd.Series, metric: Metric) -> dict[str, int]:
    """How often `after` is better than, equal to and worse than `before`; both have the same index."""
    better = before - after if metric.lower_is_better else after - before
    return {
        "wins": int((better > 0).sum()),
        "ties": int((better == 0).sum()),
        "losses": int((better < 0).sum()),
    }
