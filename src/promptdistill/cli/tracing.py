"""The command that follows a number of a table to the files that it was made from."""

import sys
from pathlib import Path

import click

from ..errors import UserError
from .group import main
from .options import PATH

_WIDE = 1000  # columns where there is no terminal: no line of a file is broken


@main.command()
@click.argument("table", type=PATH)
@click.option("--cell", required=True, help="DATASET,METHOD, such as dtd,coop+caspl; or average,METHOD.")
@click.option("--shots", type=click.IntRange(0), help="Which number of shots, where a cell has several.")
@click.option("--config-dir", type=PATH, default=Path("config"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with whole hashes and every file's facts.")
def trace(table: Path, cell: str, shots: int | None, config_dir: Path, as_json: bool) -> None:
    """List the files that a number of TABLE, a table's CSV file, was made from, with their hashes.

    The status is 1 if one of them is missing, or is another file by now.
    """
    from rich.console import Console

    from ..tracing.cell import trace_cell
    from ..tracing.show import show

    dataset, comma, method = cell.partition(",")
    if not (dataset and comma and method):
        raise UserError(f"--cell {cell}: give a data set and a method, such as dtd,coop.")
    traced = trace_cell(table, dataset.strip(), method.strip(), shots, config_dir)
    if as_json:
        click.echo(traced.model_dump_json(indent=1))
    else:
        show(traced, Console() if sys.stdout.isatty() else Console(width=_WIDE))
    sys.exit(0 if all(file.fits for file in traced.all_files()) else 1)
