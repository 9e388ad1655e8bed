"""The commands from metrics to tables."""

from pathlib import Path
from typing import Any

from ..artifacts import Sources
from ..config.entries import variants_of
from ..config.experiment import digest
from ..experiment import Experiment
from ..graph import AblationTable, Overview, Table
from .group import main
from .options import key_argument, with_experiment


@main.command()
@key_argument(Table)
@with_experiment
def table(artifact: Table, experiment: Experiment) -> None:
    """Make a table, such as base_to_novel, as CSV, Markdown, HTML, LaTeX and a plot, from metrics."""
    from ..report.record import write_record
    from ..report.render import write_table
    from ..report.request import Request

    request = Request.of(experiment, artifact.table)
    sources, rows = _read(artifact, experiment)
    output, foot = _output(artifact, experiment), _foot(experiment)
    files = write_table(rows, request, output, published=sources.get("published"), **foot)
    write_record(files, request, experiment, sources)


@main.command()
@key_argument(AblationTable)
@with_experiment
def ablation(artifact: AblationTable, experiment: Experiment) -> None:
    """Compare a method with its variants, as CSV, Markdown, HTML, LaTeX and a plot, from metrics."""
    from ..report.record import write_record
    from ..report.render import write_ablation
    from ..report.request import Request

    request = Request.of_ablation(experiment, artifact.method)
    sources, rows = _read(artifact, experiment)
    variants = variants_of(artifact.method, experiment.config_dir)
    files = write_ablation(rows, request, variants, _output(artifact, experiment), **_foot(experiment))
    write_record(files, request, experiment, sources)


@main.command()
@with_experiment
def overview(experiment: Experiment) -> None:
    """Gather the averages of all tables, for `dvc metrics` and `dvc plots`."""
    from ..report.overview import write_overview

    artifact = Overview()
    tables = [
        (experiment.results / one.path).with_suffix(".csv") for one in artifact.inputs(experiment)["tables"]
    ]
    metrics = experiment.results / artifact.path
    write_overview(tables, metrics, metrics.with_name("averages.csv"))


def _read(artifact: Table | AblationTable, experiment: Experiment) -> tuple[Sources, list[dict[str, Any]]]:
    """What a table is made from, and the runs in its files of metrics."""
    from ..report.summary import read_runs

    metrics = {
        f"metrics/{one.method}": (one, experiment.results / one.path)
        for one in artifact.inputs(experiment)["metrics"]
    }
    rows = [row for one, path in metrics.values() for row in read_runs(path, one.protocol, one.method)]
    published = {name: paths[0] for name, paths in artifact.files(experiment).items() if paths}
    files = {name: path for name, (_, path) in metrics.items()} | published
    return Sources(experiment.roots, **files), rows


def _output(artifact: Table | AblationTable, experiment: Experiment) -> Path:
    """A table's path without ending."""
    return (experiment.results / artifact.path).with_suffix("")


def _foot(experiment: Experiment) -> dict[str, str]:
    """What stands under a table of the experiment."""
    return {"note": experiment.config.note or "", "config_hash": digest(experiment.config)}
