"""Commands from finished prompts to tables."""

from pathlib import Path
from typing import Any

import click

from .. import config
from .group import main
from .options import (
    PATH,
    boosting_option,
    dataset_options,
    hyperparameters_option,
    machine_options,
    precision_option,
    prepare,
    require_same_length,
    split_option,
    student_option,
)


@main.command()
@dataset_options
@split_option
@student_option
@click.option("--method", required=True, help="Such as zero_shot, coop or coop+caspl.")
@hyperparameters_option
@boosting_option
@click.option("--prompt", "prompts", type=PATH, multiple=True, help="Finished prompts; none for zero-shot.")
@click.option("--output", "outputs", type=PATH, multiple=True, required=True, help="Parquet of each prompt.")
@click.option("--features", type=PATH, help="Looked-up features of the test images.")
@click.option("--batch-size", type=click.IntRange(1), default=100, show_default=True)
@precision_option
@machine_options
def evaluate(
    dataset: str,
    config_dir: Path,
    data_root: Path,
    split_file: Path,
    student: config.BackboneConfig,
    method: str,
    hyperparameters: dict[str, Any],
    boosting: Path | None,
    prompts: tuple[Path, ...],
    outputs: tuple[Path, ...],
    features: Path | None,
    batch_size: int,
    precision: config.Precision,
    device: str,
    threads: int,
    workers: int,
) -> None:
    """Predict the test images of base and novel classes, each against its own label set."""
    from ..clip.backbone import load_backbone
    from ..data.splits import read_split
    from ..evaluation import predict

    require_same_length(prompt=prompts or (None,), output=outputs)
    entry = config.load_dataset(dataset, config_dir)
    split = read_split(split_file)
    backbone = load_backbone(student, prepare(device, threads), precision)
    restored = [
        predict.restore_method(backbone, method, entry.template, prompt, boosting, hyperparameters)
        for prompt in prompts or (None,)
    ]
    frames = predict.predict(
        [method for method, _ in restored],
        predict.base_and_novel(split),
        predict.ImageSource(
            folder=data_root / entry.folder / entry.images,
            items=split.test,
            features=predict.open_features(features, split, backbone, boosting),
        ),
        batch_size=batch_size,
        workers=workers,
    )
    about = {"protocol": "base_to_novel", "dataset": dataset, "method": method}
    for output, frame, (_, origin) in zip(outputs, frames, restored, strict=True):
        predict.write_predictions(output, frame, {**origin, **about})


@main.command()
@click.argument("predictions", type=PATH, nargs=-1, required=True)
@click.option("--output", type=PATH, required=True, help="JSON file to write.")
def metrics(predictions: tuple[Path, ...], output: Path) -> None:
    """Base, novel and harmonic mean of each predictions file."""
    from ..evaluation.metrics import base_to_novel_metrics
    from ..files import write_json

    write_json(output, [base_to_novel_metrics(path) for path in predictions])


@main.command()
@click.option("--metrics", "metrics_file", type=PATH, required=True)
@click.option("--dataset", "datasets", multiple=True, required=True, help="Columns, in order.")
@click.option("--method", "methods", multiple=True, required=True, help="Rows, in order.")
@click.option("--published", type=PATH, help="CSV of published numbers to stand beside.")
@click.option("--config-dir", type=PATH, default=Path("config"), show_default=True)
@click.option("--note", default="", help="A sentence to print under the table.")
@click.option("--config-hash", default="", help="Hash of the configuration, for the footnote.")
@click.option("--output", type=PATH, required=True, help="Path without ending; endings are added.")
def table(
    metrics_file: Path,
    datasets: tuple[str, ...],
    methods: tuple[str, ...],
    published: Path | None,
    config_dir: Path,
    note: str,
    config_hash: str,
    output: Path,
) -> None:
    """Make the base-to-novel table as CSV, Markdown and HTML, and its plot, from metrics."""
    from ..files import read_json
    from ..report import base_to_novel, plot, render

    titles = {method: config.method_title(method, config_dir) for method in methods}
    rows = read_json(metrics_file)
    cells = base_to_novel.summarise(rows, list(datasets), titles, published)
    render.write_seeds(rows, output)
    render.write_tables(cells, output, note=note, config_hash=config_hash)
    plot.write_bars(cells, output.with_suffix(".png"))
