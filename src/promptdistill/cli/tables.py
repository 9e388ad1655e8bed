"""The commands from metrics to tables."""

import functools
from collections.abc import Callable
from typing import Any

from ..artifacts import Sources
from ..config import digest, variants_of
from ..experiment import Experiment
from ..graph import AblationTable, Overview, Table
from .options import main, step, with_experiment


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
    """Gather the averages of all tables, for `dvc metrics` and `dvc plots`."""
    from ..report.overview import write_overview

    made = Overview().inputs(experiment)["tables"]
    tables = [(experiment.results / one.path).with_suffix(".csv") for one in made]
    metrics = experiment.results / Overview().path
    write_overview(tables, metrics, metrics.with_name("averages.csv"))


def _make(artifact: Table | AblationTable, request: Any, experiment: Experiment, write: Callable) -> None:
    """Write a table, and the record of what it was made from."""
    from ..report.record import write_record
    from ..report.summary import read_runs

    made = artifact.inputs(experiment)["metrics"]
    metrics = {f"metrics/{one.method}": experiment.results / one.path for one in made}
    rows = [
        row
        for one, path in zip(made, metrics.values(), strict=True)
        for row in read_runs(path, one.protocol, one.method)
    ]
    own = {name: paths[0] for name, paths in artifact.files(experiment).items() if paths}
    files = write(
        rows,
        request,
        output=(experiment.results / artifact.path).with_suffix(""),
        note=experiment.config.note or "",
        config_hash=digest(experiment.config),
    )
    write_record(files, request, experiment, Sources(experiment.roots, **metrics, **own))
