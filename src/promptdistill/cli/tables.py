"""The command from metrics to tables."""

from pathlib import Path

import click

from .. import config
from .group import main
from .options import PATH, SEED, ConfigurationType, options

metrics_options = options(
    click.option(
        "--metrics", "files", type=PATH, multiple=True, required=True, help="JSON files of metrics."
    ),
    click.option("--dataset", "datasets", multiple=True, required=True, help="Data sets, in order."),
    click.option("--seed", "seeds", type=SEED, multiple=True, required=True, help="Seeds to average over."),
)
page_options = options(
    click.option("--config-dir", type=PATH, default=Path("config"), show_default=True),
    click.option("--note", default="", help="A sentence to print under the table."),
    click.option(
        "--configuration",
        type=ConfigurationType(),
        help="JSON of the whole experiment, of which the footnote gives the hash; `trace` needs it.",
    ),
    click.option("--output", type=PATH, required=True, help="Path without ending; endings are added."),
)


@main.command()
@click.argument("kind", type=click.Choice(config.TABLES))
@metrics_options
@click.option("--source", help="Data set trained on; only for tables of transfer, and needed there.")
@click.option("--method", "methods", multiple=True, required=True, help="Rows, in order.")
@click.option("--shots", type=click.IntRange(1), multiple=True, required=True, help="Several if few_shot.")
@click.option("--published", type=PATH, help="CSV of published numbers to stand beside.")
@page_options
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
    configuration: config.Config | None,
    output: Path,
) -> None:
    """Make a table from metrics as CSV, Markdown, HTML, LaTeX and a plot."""
    from ..files import read_json
    from ..report.origin import write_origin
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
    rows = {file: read_json(file) for file in files}
    metrics = [row for own in rows.values() for row in own]
    config_hash = config.digest(configuration) if configuration else ""
    write_table(metrics, request, output, published=published, note=note, config_hash=config_hash)
    write_origin(output, request, rows, configuration, published=published)


@main.command()
@metrics_options
@click.option("--method", required=True, help="The method, which is compared with all of its variants.")
@click.option("--shots", type=click.IntRange(1), required=True)
@page_options
def ablation(
    files: tuple[Path, ...],
    datasets: tuple[str, ...],
    seeds: tuple[int, ...],
    method: str,
    shots: int,
    config_dir: Path,
    note: str,
    configuration: config.Config | None,
    output: Path,
) -> None:
    """Compare a method with its variants, base to novel, as CSV, Markdown, HTML, LaTeX and a plot."""
    from ..files import read_json
    from ..report.origin import write_origin
    from ..report.render import write_ablation
    from ..report.request import Request

    variants = config.variants_of(method, config_dir)
    titles = {name: variant.title for name, variant in variants.items()}
    request = Request(
        kind="base_to_novel",
        datasets=datasets,
        titles={method: config.method_title(method, config_dir), **titles},
        shots=(shots,),
        seeds=seeds,
    )
    rows = {file: read_json(file) for file in files}
    metrics = [row for own in rows.values() for row in own]
    config_hash = config.digest(configuration) if configuration else ""
    write_ablation(metrics, request, variants, output, note=note, config_hash=config_hash)
    write_origin(output, request, rows, configuration, endings=(".csv", "_seeds.csv"))


@main.command()
@click.argument("tables", type=PATH, nargs=-1, required=True)
@click.option("--metrics", type=PATH, required=True, help="JSON: table, method, figure, mean.")
@click.option("--plot", type=PATH, required=True, help="CSV of one bar a method.")
def overview(tables: tuple[Path, ...], metrics: Path, plot: Path) -> None:
    """Gather the averages of some tables' CSV files, for `dvc metrics` and `dvc plots`."""
    from ..report.overview import write_overview

    write_overview(list(tables), metrics, plot)
