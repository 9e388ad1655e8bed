"""The averages of all tables in two small files, which DVC compares with those of other commits."""

from pathlib import Path

import pandas as pd

from ..artifacts import read_sealed
from ..errors import UserError
from ..files import sha256, write_csv, write_json
from ..protocols import TABLES
from .record import record_path
from .request import AVERAGE


def read_table(path: Path) -> pd.DataFrame:
    """The numbers of a table's CSV file; UserError if it is missing, or is not the one of its record."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: make this table first.")
    files = read_sealed(record_path(path)).get("files", [])
    if {"path": path.name, "sha256": sha256(path)} not in files:
        raise UserError(f"{path} is not as it was written: it is damaged, or was edited. Make it again.")
    return pd.read_csv(path)


def write_overview(tables: list[Path], metrics: Path, plot: Path) -> None:
    """Write the averages as JSON, table -> method -> metric -> mean, and the headlines among them as CSV."""
    rows = pd.concat([_averages(path) for path in tables], ignore_index=True)
    nested: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows.itertuples():
        nested.setdefault(row.table, {}).setdefault(row.method, {})[row.metric] = row.mean
    write_json(metrics, nested)
    shown = rows[rows["headline"]]
    results = shown["table"] + " " + shown["method"] + " " + shown["metric"]
    bars = pd.DataFrame({"result": results, "mean": shown["mean"]})
    write_csv(plot, bars)


def _averages(path: Path) -> pd.DataFrame:
    """A table's averages; a metric of several numbers of shots is named with each, "accuracy_4shots"."""
    cells = read_table(path)
    own = cells[(cells["dataset"] == AVERAGE) & cells["mean"].notna()]
    several = own.loc[own["shots"] > 0, "shots"].nunique() > 1
    suffix = "_" + own["shots"].astype(str) + "shots" if several else ""
    return pd.DataFrame(
        {
            "table": path.stem,
            "method": own["method"],
            "metric": own["metric"] + suffix,
            "mean": own["mean"],
            "headline": own["metric"] == TABLES[path.stem].headline,
        }
    )
