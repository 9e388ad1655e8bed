"""What cascading on boosting prompts gains, over data sets, and how a method's variants compare with it."""

from typing import Any

import pandas as pd
from scipy.stats import wilcoxon

from ..config.entries import Variant
from ..protocols.base import Metric
from ..run import MethodParts
from .request import AVERAGE, Request
from .summary import seed_averages

COLUMNS = "method title metric shots gain wins ties losses datasets p".split()
VARIANT_COLUMNS = (
    "method title group metric mean std seeds transductive difference difference_std wins ties losses runs p"
).split()
REFERENCE = "As it is"  # the group of the method itself among its variants


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
        parts = MethodParts.of(method)
        plain = str(parts.alone)
        for shots in request.shots:
            if parts.cascaded and (plain, shots) in wide and (method, shots) in wide:
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
            **_tested(plain[name], cascaded[name], metric),
            "datasets": len(both),
        }
        for metric in request.metrics
        for name in [metric.name]
    ]


def differences(
    runs: pd.DataFrame, cells: pd.DataFrame, request: Request, variants: dict[str, Variant]
) -> pd.DataFrame:
    """One row per variant and metric: the average over data sets, and its difference from the method's.

    `runs` and `cells` are a base-to-novel summary (`summary.select`, `summary.summarise`) of the method,
    which `request.titles` names first, and of its variants.  Columns: VARIANT_COLUMNS.  `mean` and
    `difference` are of numbers as displayed; `difference_std` is the sample standard deviation over seeds of
    the differences of the same seed; `wins`, `ties`, `losses` and the Wilcoxon test's `p` are over `runs`
    pairs of the same data set and seed.  Where seeds are missing nothing is compared.
    """
    records = cells[cells["dataset"] == AVERAGE].to_dict("records")
    averages = {(record["method"], record["metric"]): record for record in records}
    by_method = dict(list(runs.groupby("method")))
    reference = next(iter(request.titles))
    rows = []
    for method in request.titles:
        for metric in request.metrics:
            own, usual = (averages.get((name, metric.name)) for name in (method, reference))
            if own is None:
                continue
            group = variants[method].group if method in variants else REFERENCE
            row = own | {"group": group, "difference": float("nan")}
            if method != reference and usual and not (own["partial"] or usual["partial"]):
                row |= _paired(by_method[reference], by_method[method], metric, request)
                row["difference"] = shown(own["mean"]) - shown(usual["mean"])
            rows.append(row)
    return pd.DataFrame(rows, columns=VARIANT_COLUMNS)


def _paired(usual: pd.DataFrame, own: pd.DataFrame, metric: Metric, request: Request) -> dict[str, Any]:
    """What the pairs of runs of one data set and seed say of one metric."""
    name = metric.name
    before, after = (runs.set_index(["dataset", "seed"])[name].map(shown) for runs in (usual, own))
    both = before.index.intersection(after.index)
    by_seed = [seed_averages(runs, request).set_index("seed")[name] for runs in (usual, own)]
    return {
        "difference_std": (by_seed[1] - by_seed[0]).std(),
        **_tested(before.loc[both], after.loc[both], metric),
        "runs": len(both),
    }


def shown(value: float) -> float:
    """A number as a reader sees it, rounded to two decimals: what looks equal counts as equal."""
    return round(float(value), 2)


def _tested(before: pd.Series, after: pd.Series, metric: Metric) -> dict[str, Any]:
    """How often `after` is better than, equal to and worse than `before` (of the same index), and the p."""
    points = after - before
    better = -points if metric.lower_is_better else points
    counts = {"wins": better > 0, "ties": better == 0, "losses": better < 0}
    return {**{name: int(found.sum()) for name, found in counts.items()}, "p": p_value(points)}
