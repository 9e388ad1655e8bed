"""Commands that learn prompts."""

from pathlib import Path
from typing import Any

import click

from .. import config
from .group import main
from .options import (
    PATH,
    SEED,
    boosting_option,
    dataset_options,
    drawn_regions,
    hyperparameters_option,
    machine_options,
    precision_option,
    prepare,
    region_options,
    require_same_length,
    split_option,
    stored_option,
    student_option,
)


@main.command()
@dataset_options
@split_option
@student_option
@region_options
@click.option("--lookup", "lookup_folder", type=PATH, required=True)
@hyperparameters_option
@click.option("--seed", type=SEED, default=1, show_default=True)
@stored_option
@precision_option
@machine_options
@click.option("--output", type=PATH, required=True, help="Prompt file to write.")
def boost(
    lookup_folder: Path, hyperparameters: dict[str, Any], seed: int, output: Path, **setting: Any
) -> None:
    """Learn boosting prompts from the looked-up teacher (CasPL, phase one)."""
    from ..training.stages import train_boosting

    train_boosting(_setting(**setting), lookup_folder, hyperparameters, seed, output)


@main.command()
@dataset_options
@split_option
@student_option
@region_options
@click.option("--method", required=True, help="Such as coop or coop+caspl.")
@hyperparameters_option
@boosting_option
@click.option("--shots", type=click.IntRange(1), required=True)
@click.option("--seed", "seeds", type=SEED, multiple=True, required=True)
@click.option("--draw", "draws", type=PATH, multiple=True, required=True, help="Few-shot draw of each seed.")
@click.option("--features", type=PATH, multiple=True, help="Looked-up image features of each draw.")
@click.option("--output", "outputs", type=PATH, multiple=True, required=True, help="Prompt of each seed.")
@stored_option
@precision_option
@machine_options
def adapt(
    method: str,
    hyperparameters: dict[str, Any],
    boosting: Path | None,
    shots: int,
    seeds: tuple[int, ...],
    draws: tuple[Path, ...],
    features: tuple[Path, ...],
    outputs: tuple[Path, ...],
    **setting: Any,
) -> None:
    """Learn adapting prompts on few shots of the base classes, one after the other for each seed."""
    from ..training.stages import Run, train_adapting

    looked_up = features or (None,) * len(seeds)
    require_same_length(seed=seeds, draw=draws, features=looked_up, output=outputs)
    common = _setting(**setting)
    train_adapting(
        common,
        [
            Run(seed=s, draw=d, features=f, output=o)
            for s, d, f, o in zip(seeds, draws, looked_up, outputs, strict=True)
        ],
        method,
        hyperparameters,
        boosting,
        protocol="base_to_novel",
        labels=common.split.base_labels,
        shots=shots,
    )


def _setting(
    dataset: str,
    config_dir: Path,
    data_root: Path,
    split_file: Path,
    student: config.BackboneConfig,
    regions: int,
    region_seed: int,
    region_scale: tuple[float, float],
    stored: Path | None,
    precision: config.Precision,
    device: str,
    threads: int,
    workers: int,
):
    """What both training commands need, loaded."""
    from ..clip.backbone import load_backbone
    from ..data.splits import read_split
    from ..files import sha256
    from ..training.stages import Setting

    entry = config.load_dataset(dataset, config_dir)
    return Setting(
        dataset=dataset,
        split=read_split(split_file),
        split_sha256=sha256(split_file),
        image_folder=data_root / entry.folder / entry.images,
        template=entry.template,
        student=load_backbone(student, prepare(device, threads), precision),
        regions=drawn_regions(regions, region_seed, region_scale),
        store=stored,
        threads=threads,
        workers=workers,
    )
