"""Commands that bring results into MLflow, and compare them there."""

import click

from ..experiment import Experiment
from .group import main
from .options import with_experiment


@main.command()
@with_experiment
def track(experiment: Experiment) -> None:
    """Import all results of the configuration into MLflow: a run each, nested under a run for its table.

    The store is the file mlflow.db in the folder of results, or what MLFLOW_TRACKING_URI names.  What is
    there already is left as it is; what has changed is replaced.  A receipt, tracking.json in the folder of
    results, says where each run is.
    """
    from ..files import write_json
    from ..graph import Tracking
    from ..tracking.content import contents
    from ..tracking.importing import import_runs
    from ..tracking.store import store_of

    store = store_of(experiment.results)
    receipt = import_runs(contents(experiment), store)
    write_json(experiment.results / Tracking().path, receipt)
    counted = ", ".join(f"{count} {name}" for name, count in receipt["done"].items())
    click.echo(f"{counted} runs in {store}")


@main.command()
@click.argument("runs", metavar="RUN RUN [RUN]...", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Show what is equal, and tags, too.")
@with_experiment
def compare(runs: tuple[str, ...], everything: bool, experiment: Experiment) -> None:
    """Show tracked runs side by side: parameters that differ, and metrics with their differences.

    A RUN is the id of an MLflow run, or a key such as base_to_novel/mini_shapes/coop/16/1: protocol, data
    set, method, shots and seed (0 and - for a method that learns nothing).
    """
    from rich.console import Console

    from ..tracking.compare import comparison, find_runs
    from ..tracking.store import store_of

    found = find_runs(runs, store_of(experiment.results))
    Console(highlight=False).print(comparison(found, everything=everything))
