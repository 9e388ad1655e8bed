"""The command from metrics to tables."""

from pathlib import Path

import click

from .. import config
from .group import main
from .options import PATH, SEED


@main.command()
@click.argument("kind", type=click.Choice(config.TABLES))
@click.option("--metrics", "files", type=PATH, multiple=True, required=True, help="JSON files of metrics.")
@click.option("--dataset", "datasets", multiple=True, required=True, help="Data sets, in order.")
@click.option("--source", help="Data set trained on; only for tables of transfer, and needed there.")
@click.option("--method", "methods", multiple=True, required=True, help="Rows, in order.")
@click.option("--shots", type=click.IntRange(1), multiple=True, required=True, help="Several if few_shot.")
@click.option("--seed", "seeds", type=SEED, multiple=True, required=True, help="Seeds to average over.")
@click.option("--published", type=PATH, help="CSV of published numbers to stand beside.")
@click.option("--config-dir", type=PATH, default=Path("config"), show_default=True)
@click.option("--note", default="", help="A sentence to print under the table.")
@click.option("--config-hash", default="", help="Hash of the configuration, for the footnote.")
@click.option("--output", type=PATH, required=True, help="Path without ending; endings are added.")
def table(
    kind: str,
    files: tuple[Path, ...],
    datasets: tuple[str, ...],
    source: str | None,
    methods: tuple[str, ...],
    shots: tuple[int, ...],
    seeds: tuple[int, ...],
    published: Path | None,
    config_dir: Path,
    note: str,
    config_hash: str,
    output: Path,
) -> None:
    """Make a table from metrics as CSV, Markdown, HTML, LaTeX and a plot."""
    from ..files import read_json
    from ..report.render import write_table
    from ..report.request import Request

    request = Request(
        kind=kind,
        datasets=datasets,
        titles={method: config.method_title(method, config_dir) for method in methods},
        shots=shots,
        seeds=seeds,
        source=source,
    )
    metrics = [row for file in files for row in read_json(file)]
    write_table(metrics, request, output, published=published, note=note, config_hash=config_hash)
