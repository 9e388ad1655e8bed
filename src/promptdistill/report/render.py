"""Writing a summary as CSV, Markdown and HTML."""

from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from ..files import write_text
from ..provenance import commit, versions
from .base_to_novel import AVERAGE, FIGURES, gains

HEADINGS = {"base": "Base", "novel": "Novel", "hm": "HM"}
TRANSDUCTIVE = "†"
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=jinja2.select_autoescape(["html.j2"]),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def write_tables(cells: pd.DataFrame, output: Path, *, note: str, config_hash: str) -> None:
    """Write `output`.csv, .md and .html; `cells` is what `base_to_novel.summarise` returns."""
    write_text(output.with_suffix(".csv"), cells.to_csv(index=False, float_format="%.4f"))
    content = {
        "headings": [HEADINGS[figure] for figure in FIGURES],
        "published": "published_hm" in cells,
        "groups": _groups(cells),
        "gains": [
            (title, {HEADINGS[key]: f"{gain:+.2f}" for key, gain in row.items()})
            for title, row in gains(cells)
        ],
        "mark": TRANSDUCTIVE if cells["transductive"].any() else "",
        "note": note,
        "provenance": _provenance(config_hash),
    }
    for ending in ("md", "html"):
        text = _TEMPLATES.get_template(f"base_to_novel.{ending}.j2").render(content)
        write_text(output.with_suffix(f".{ending}"), text)


def write_seeds(metrics: list[dict[str, Any]], output: Path) -> None:
    """Write `output`_seeds.csv: the figures of every seed, and the predictions that they come from."""
    columns = ["dataset", "method", "shots", "seed", *FIGURES, "images", "predictions"]
    text = pd.DataFrame(metrics)[columns].to_csv(index=False, float_format="%.4f")
    write_text(output.with_name(f"{output.name}_seeds.csv"), text)


def _groups(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as text, the average first, the best harmonic mean of each data set marked."""
    order = [AVERAGE, *[name for name in cells["dataset"].unique() if name != AVERAGE]]
    most = cells["seeds"].max()
    return [
        {"dataset": dataset, "rows": [_row(row, group["hm"].max(), most) for _, row in group.iterrows()]}
        for dataset in order
        if len(group := cells[cells["dataset"] == dataset])
    ]


def _row(row: pd.Series, best: float, most_seeds: int) -> dict[str, Any]:
    partial = 1 < row["seeds"] < most_seeds
    title = row["title"] + (f" {TRANSDUCTIVE}" if row["transductive"] else "")
    return {
        "title": title + (f" ({row['seeds']} of {most_seeds} seeds)" if partial else ""),
        "cells": [_cell(row[figure], row[f"{figure}_std"]) for figure in FIGURES],
        "published": [_cell(row.get(f"published_{figure}"), None) for figure in FIGURES],
        "best": row["hm"] == best,
    }


def _cell(value: float | None, std: float | None) -> str:
    if value is None or pd.isna(value):
        return ""
    return f"{value:.2f}" + ("" if std is None or pd.isna(std) else f" ± {std:.2f}")


def _provenance(config_hash: str) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"Configuration {config_hash[:12]}, commit {commit()}; {packages}."
