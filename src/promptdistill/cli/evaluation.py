"""Commands from finished prompts to metrics."""

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
    protocol_option,
    require_same_length,
    split_option,
    student_option,
)


@main.command()
@dataset_options
@split_option
@student_option
@protocol_option
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
    protocol: config.Training,
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
    """Predict the test images: of base and novel classes, each against its own label set, or of all."""
    from ..clip.backbone import load_backbone
    from ..data.protocols import test_subsets
    from ..data.splits import read_split
    from ..evaluation import predict
    from ..features.lookup import MANIFEST
    from ..files import sha256

    require_same_length(prompt=prompts or (None,), output=outputs)
    entry = config.load_dataset(dataset, config_dir)
    split = read_split(split_file)
    subsets = test_subsets(split, protocol)
    backbone = load_backbone(student, prepare(device, threads), precision)
    restored = [
        predict.restore_method(backbone, method, entry.template, prompt, boosting, hyperparameters, protocol)
        for prompt in prompts or (None,)
    ]
    frames = predict.predict(
        [method for method, _ in restored],
        subsets,
        predict.ImageSource(
            folder=data_root / entry.folder / entry.images,
            items=split.test,
            features=predict.open_features(features, split, backbone, boosting),
        ),
        batch_size=batch_size,
        workers=workers,
    )
    names = split.class_names(split.labels)
    about = {
        "protocol": protocol,
        "dataset": dataset,
        "method": method,
        "student": f"{student.model}:{student.pretrained}",
        "student_sha256": backbone.weights_sha256,
        "split_sha256": sha256(split_file),
        "features_sha256": sha256(features / MANIFEST) if features else None,
    }
    for prompt, output, frame, (_, origin) in zip(prompts or (None,), outputs, frames, restored, strict=True):
        seen = predict.transductive(prompt, boosting, dataset, names)
        predict.write_predictions(output, frame, {**origin, **about, "transductive": seen})


@main.command()
@click.argument("predictions", type=PATH, nargs=-1, required=True)
@click.option("--output", type=PATH, required=True, help="JSON file to write.")
def metrics(predictions: tuple[Path, ...], output: Path) -> None:
    """Accuracy of each predictions file: of base and novel classes and their harmonic mean, or of all."""
    from ..evaluation.metrics import metrics_of
    from ..files import write_json

    write_json(output, [metrics_of(path) for path in predictions])
