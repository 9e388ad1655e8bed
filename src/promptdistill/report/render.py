"""Writing a table in all its forms: CSV, Markdown, HTML, LaTeX and a picture."""

import base64
import re
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from ..config.entries import Variant
from ..files import write_csv, write_text
from ..provenance import commit, versions
from . import plot, tables
from .gains import differences, gains
from .request import Request
from .summary import seeds_of, select, summarise

_TEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "|": r"\textbar{}",
        "×": r"$\times$",
        "Δ": r"$\Delta$",
        "τ": r"$\tau$",
        "≥": r"$\geq$",
        "≤": r"$\leq$",
        "→": r"$\to$",
        "<": "$<$",
        ">": "$>$",
        "±": r"$\pm$",
        "−": "$-$",
        "†": r"$^{\dagger}$",
        "‡": r"$^{\ddagger}$",
        tables.FLAG: r"$^{\ast}$",
        "\n": " ",
    }
)


def write_table(
    metrics: list[dict[str, Any]],
    request: Request,
    output: Path,
    *,
    published: Path | None = None,
    **foot: str,
) -> list[Path]:
    """Make a table from metrics (one dict a run) and write it under `output`, a path without ending.

    Writes `output`.csv (the summary), _seeds.csv, _gains.csv, .md, .html, .tex and .png, and returns the CSV
    files.  `foot`: a `note` and the `config_hash`, which stand under it.  Raises UserError if the metrics or
    the published numbers do not serve.
    """
    runs = select(metrics, request)
    cells = summarise(runs, request, published)
    gained = gains(cells, request)
    plot.write_plot(cells, request, beside(output, ".png"))
    page = tables.build(cells, gained, request)._replace(**_foot(runs, **foot))
    return _write(page, {"": cells, "_seeds": seeds_of(runs, request), "_gains": gained}, output)


def write_ablation(
    metrics: list[dict[str, Any]], request: Request, variants: dict[str, Variant], output: Path, **foot: str
) -> list[Path]:
    """Compare a method, the first of `request`, with its variants: as `write_table`, without _gains.csv."""
    runs = select(metrics, request)
    rows = differences(runs, summarise(runs, request), request, variants)
    plot.write_ablation_plot(rows, request, beside(output, ".png"))
    page = tables.build_ablation(rows, request)._replace(**_foot(runs, **foot))
    return _write(page, {"": rows, "_seeds": seeds_of(runs, request)}, output)


def _write(page: tables.Page, frames: dict[str, pd.DataFrame], output: Path) -> list[Path]:
    """Write a table's numbers and its pages beside its picture; return the CSV files."""
    files = {beside(output, f"{ending}.csv"): frame for ending, frame in frames.items()}
    for path, frame in files.items():
        write_csv(path, frame, float_format="%.4f")
    for ending, text in forms(page, beside(output, ".png").read_bytes()).items():
        write_text(beside(output, f".{ending}"), text)
    return list(files)


def forms(page: tables.Page, picture: bytes) -> dict[str, str]:
    """The table as "md", "html" (one page with the PNG `picture` in it) and "tex"."""
    content = {"page": page, "flag": tables.FLAG, "picture": base64.b64encode(picture).decode()}
    templates = {ending: _TEMPLATES.get_template(f"table.{ending}.j2") for ending in ("md", "html", "tex")}
    return {ending: template.render(content) for ending, template in templates.items()}


def beside(output: Path, ending: str) -> Path:
    """`output` with an ending added; dots in its name stay."""
    return output.with_name(output.name + ending)


def _foot(runs: pd.DataFrame, note: str = "", config_hash: str = "") -> dict[str, str]:
    """The note, and what a table was made with: student, configuration, commit and packages."""
    student, weights = runs[["student", "student_sha256"]].iloc[0]
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    made = f"configuration {config_hash[:12]}, commit {commit()}"
    return {"note": note, "provenance": f"Student {student} ({weights[:12]}); {made}; {packages}."}


def tex(text: str) -> str:
    """`text` with everything escaped that means something to LaTeX."""
    return text.translate(_TEX)


def markdown(text: str) -> str:
    """`text` on one line, with everything escaped that means something to Markdown, HTML in it included.

    An underscore within a word, and a < that opens no tag, mean nothing.
    """
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


_MARKDOWN = re.compile(r"[\\`*\[\]|$~]|<(?=[\w/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])|^[#>+-]")
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=jinja2.select_autoescape(["html.j2"]),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)
_TEMPLATES.filters |= {"tex": tex, "markdown": markdown}
