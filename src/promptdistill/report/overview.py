"""The averages of all tables in two small files, which DVC compares with those of other commits."""

from pathlib import Path

import pandas as pd

from ..errors import UserError
from ..files import write_json, write_text
from .request import AVERAGE

NEEDED = {"dataset", "method", "shots", "figure", "mean"}
HEADLINES = ("hm", "accuracy")  # one bar a method and number of shots


def averages(tables: list[Path]) -> pd.DataFrame:
    """The averages over data sets of some tables' CSV files: table, method, figure, mean (percent).

    A figure of trainings on several numbers of shots is named with each, "accuracy_4shots".  Raises
    UserError for a file that is missing or no table.
    """
    return pd.concat([_averages_of(path) for path in tables], ignore_index=True)


def write_overview(tables: list[Path], metrics: Path, plot: Path) -> None:
    """Write the averages as JSON, table -> method -> figure -> mean, and the headlines among them as CSV."""
    rows = averages(tables)
    nested: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows.itertuples():
        nested.setdefault(row.table, {}).setdefault(row.method, {})[row.figure] = row.mean
    write_json(metrics, nested)
    shown = rows[rows["figure"].str.startswith(HEADLINES)]
    results = shown["table"] + " " + shown["method"] + " " + shown["figure"]
    bars = pd.DataFrame({"result": results, "mean": shown["mean"]})
    write_text(plot, bars.to_csv(index=False))


def _averages_of(path: Path) -> pd.DataFrame:
    try:
        cells = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: make this table first.") from None
    except (ValueError, UnicodeDecodeError):
        cells = pd.DataFrame()
    if not NEEDED.issubset(cells.columns):
        raise UserError(f"{path} is not a table of this pipeline, or is damaged: make it again.")
    own = cells[(cells["dataset"] == AVERAGE) & cells["mean"].notna()]
    several = own.loc[own["shots"] > 0, "shots"].nunique() > 1
    suffix = "_" + own["shots"].astype(str) + "shots" if several else ""
    return pd.DataFrame(
        {"table": path.stem, "method": own["method"], "figure": own["figure"] + suffix, "mean": own["mean"]}
    )
