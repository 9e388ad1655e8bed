"""Commands on results: tables, what they were made from, runs in MLflow, versions in DVC."""

import functools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from ..config.entries import variants_of
from ..config.schema import digest
from ..errors import UserError
from ..experiment import Experiment
from ..graph import USED_FILES, AblationTable, OfRun, Overview, Split, Table, Tracking, used_files
from ..integrity import require
from .options import config_options, main, sources_named, step, with_experiment

_FORMS = (".csv", ".html", ".md", ".png", ".tex")  # of a table
_WIDE = 1000  # columns where there is no terminal: no line of a file is broken


@main.command()
@click.argument("result", metavar="RUN|TABLE")
@click.option("--cell", help="DATASET,METHOD of a table, such as dtd,coop+caspl; or average,METHOD.")
@click.option("--shots", type=click.IntRange(0), help="Which number of shots, where a cell has several.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with whole hashes and every file's facts.")
@config_options
def trace(
    result: str, cell: str | None, shots: int | None, as_json: bool, config_file: Path, config_dir: Path
) -> None:
    """List the files that a result was made from, with their hashes.

    RUN is a key such as base_to_novel/dtd/coop/16/1 (protocol, data set, method, shots, seed) of a run of the
    configuration; TABLE a table, in any of its forms, of which --cell names a number.  The status is 1 if one
    of the files is missing, or is another file by now.
    """
    from rich.console import Console

    from ..tracing.cell import trace_cell, trace_run
    from ..tracing.show import show

    if Path(result).suffix in _FORMS:
        dataset, _, method = (part.strip() for part in (cell or "").partition(","))
        if not (dataset and method):
            raise UserError(f"--cell {cell or 'is missing'}: give a data set and a method, such as dtd,coop.")
        traced = trace_cell(Path(result).with_suffix(".csv"), dataset, method, shots, config_dir)
    elif cell is not None or shots is not None:
        raise UserError(f"{result} is a run, which has no cells: leave out --cell and --shots.")
    else:
        traced = trace_run(OfRun.parse(result).run, Experiment.read(config_file, config_dir))
    if as_json:
        click.echo(traced.model_dump_json(indent=1))
    else:
        show(traced, Console() if sys.stdout.isatty() else Console(width=_WIDE))
    sys.exit(0 if traced.fits else 1)


@main.command()
@click.argument("key", metavar="[RUN]", required=False)
@with_experiment
def verify(key: str | None, experiment: Experiment) -> None:
    """Say which results do not belong together: all of the configuration's, or those behind one RUN.

    A line names each file that is damaged (its own content does not fit), replaced (by another than what was
    made from it) or missing, and what was made from it; and metrics that their predictions do not give.  The
    status is 1 if there is any.
    """
    from ..tracing.verify import verify as check

    found = check(experiment, OfRun.parse(key).run if key else None)
    for fault in found.faults:
        click.echo(fault)
    click.echo(found.summary)
    sys.exit(1 if found.faults else 0)


@main.command()
@with_experiment
def track(experiment: Experiment) -> None:
    """Import all results of the configuration into MLflow: a run each, nested under a run for its table.

    The store is the file mlflow.db in the folder of results, or what MLFLOW_TRACKING_URI names.  What is
    there already is left as it is; what has changed is replaced.  A receipt, tracking.json in the folder of
    results, says where each run is.
    """
    from ..files import write_json
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


@main.command()
@click.option("--remote", help="A remote of `dvc remote list`; left out: the default one.")
def pull(remote: str | None) -> None:
    """Restore versioned results, so that neither DVC nor Snakemake has anything to do."""
    from .. import dvc_sync

    restored = dvc_sync.pull(remote)
    click.echo(f"Restored: {', '.join(restored.layers) or 'nothing'}.")
    if restored.incomplete:
        click.echo(f"Not complete: {', '.join(restored.incomplete)}; `dvc repro` makes what is missing.")
    if restored.without_pictures:
        click.echo(
            f"The pictures of {', '.join(restored.without_pictures)} are not here, and a change may need "
            "them: `snakemake --cores all --until data --forcerun data` fetches or draws them."
        )


@main.command()
def record() -> None:
    """Tell DVC what a finished run of Snakemake made; a run does so itself."""
    from .. import dvc_sync

    dvc_sync.record()


@step(Table)
def table(artifact: Table, experiment: Experiment) -> None:
    """Make a table, such as base_to_novel, as CSV, Markdown, HTML, LaTeX and a plot, from metrics."""
    from ..report.render import write_table
    from ..report.request import Request

    published = next(iter(artifact.files(experiment)["published"]), None)
    write = functools.partial(write_table, published=published)
    _make(artifact, Request.of(experiment, artifact.table), experiment, write)


@step(AblationTable)
def ablation(artifact: AblationTable, experiment: Experiment) -> None:
    """Compare a method with its variants, as CSV, Markdown, HTML, LaTeX and a plot, from metrics."""
    from ..report.render import write_ablation
    from ..report.request import Request

    write = functools.partial(write_ablation, variants=variants_of(artifact.method, experiment.config_dir))
    _make(artifact, Request.of_ablation(experiment, artifact.method), experiment, write)


@main.command()
@with_experiment
def overview(experiment: Experiment) -> None:
    """Gather the averages of all tables, for `dvc metrics` and `dvc plots`, and name the files behind."""
    from ..files import write_json
    from ..report.overview import write_overview

    results, made = experiment.results, Overview().inputs(experiment)["tables"]
    for one in made:
        require(one, experiment)
    tables, metrics = [(results / one.path).with_suffix(".csv") for one in made], results / Overview().path
    write_overview(tables, metrics, metrics.with_name("averages.csv"))
    write_json(results / USED_FILES, used_files(experiment))


def _make(artifact: Table | AblationTable, request: Any, experiment: Experiment, write: Callable) -> None:
    """Write a table, and the record of what it was made from."""
    from ..evaluation.metrics import read_metrics
    from ..report.record import write_record

    made = {f"metrics/{one.method}": one for one in artifact.inputs(experiment)["metrics"]}
    used = sources_named(made, artifact, experiment)
    rows = [row for name in made for row in read_metrics(used[name])[0]]
    files = write(
        rows,
        request,
        output=(experiment.results / artifact.path).with_suffix(""),
        note=" ".join(filter(None, [experiment.config.note, *_doubts(request.shown, experiment)])),
        config_hash=digest(experiment.config),
    )
    write_record(files, request, experiment, used)


def _doubts(datasets: Iterable[str], experiment: Experiment) -> list[str]:
    """What is doubtful about the model and, as their splits say, the data sets, a sentence each."""
    from ..clip.activation import unsaid_activation
    from ..data.receipt import read_about

    splits = {dataset: experiment.results / Split(dataset).path for dataset in datasets}
    model = filter(None, [unsaid_activation(experiment.backbone())])
    return [
        *model,
        *(
            f"{dataset}: {warning}."
            for dataset, path in splits.items()
            if path.is_file()
            for warning in read_about(path).warnings
        ),
    ]
