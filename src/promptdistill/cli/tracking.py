"""Commands that bring results into MLflow, and compare them there."""

from pathlib import Path
from typing import Any

import click

from .group import main
from .options import PATH, JsonType

results_option = click.option(
    "--results", type=PATH, default=Path("results"), show_default=True, help="Folder of the results."
)


@main.command()
@results_option
@click.option(
    "--table", "tables", type=PATH, multiple=True, required=True, help="Each table's path without ending."
)
@click.option(
    "--metrics", type=PATH, multiple=True, required=True, help="Files of metrics that tables were made from."
)
@click.option(
    "--jobs",
    type=JsonType(),
    default="{}",
    help="The (shots, seed) that each training job took, for its time: {protocol: [[[16, 1], …], …]}.",
)
@click.option("--output", type=PATH, required=True, help="Receipt to write: where each run is.")
def track(
    results: Path, tables: tuple[Path, ...], metrics: tuple[Path, ...], jobs: dict[str, Any], output: Path
) -> None:
    """Import results into MLflow: a run each, nested under a run for its table.

    The store is the file mlflow.db in the folder of results, or what MLFLOW_TRACKING_URI names.  What is
    there already is left as it is; what has changed is replaced.
    """
    from ..files import write_json
    from ..tracking.content import Results, contents
    from ..tracking.importing import import_runs
    from ..tracking.store import store_of

    store = store_of(results)
    receipt = import_runs(contents(list(tables), list(metrics), Results(results), jobs), store)
    write_json(output, receipt)
    counted = ", ".join(f"{count} {name}" for name, count in receipt["done"].items())
    click.echo(f"{counted} runs in {store}")


@main.command()
@click.argument("runs", metavar="RUN RUN [RUN]...", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Show what is equal, and tags, too.")
@results_option
def compare(runs: tuple[str, ...], everything: bool, results: Path) -> None:
    """Show tracked runs side by side: parameters that differ, and metrics with their differences.

    A RUN is the id of an MLflow run, or a key such as base_to_novel/mini_shapes/coop/16/1: protocol, data
    set, method, shots and seed (0 and - for a method that learns nothing).
    """
    from rich.console import Console

    from ..tracking.compare import comparison, find_runs
    from ..tracking.store import store_of

    found = find_runs(runs, store_of(results))
    Console(highlight=False).print(comparison(found, everything=everything))
