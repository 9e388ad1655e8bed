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
    options,
    precision_option,
    prepare,
    protocol_option,
    require_same_length,
    split_option,
    stored_option,
    student_option,
    training_region_options,
)

setting_options = options(
    dataset_options,
    split_option,
    student_option,
    training_region_options,
    stored_option,
    precision_option,
    machine_options,
)
lookup_option = click.option(
    "--lookup", "lookup_folder", type=PATH, required=True, help="The teacher's answers."
)
run_options = options(
    click.option(
        "--shots", type=click.IntRange(1), multiple=True, required=True, help="Shots of each prompt."
    ),
    click.option("--seed", "seeds", type=SEED, multiple=True, required=True, help="Seed of each prompt."),
    click.option("--output", "outputs", type=PATH, multiple=True, required=True, help="Each prompt's file."),
)


@main.command()
@setting_options
@lookup_option
@hyperparameters_option
@click.option("--seed", type=SEED, default=1, show_default=True)
@click.option("--output", type=PATH, required=True, help="Prompt file to write.")
def boost(
    lookup_folder: Path, hyperparameters: dict[str, Any], seed: int, output: Path, **setting: Any
) -> None:
    """Learn boosting prompts from the looked-up teacher (CasPL, phase one)."""
    from ..training.stages import Run, train_distilled

    runs = [Run(seed=seed, output=output)]
    train_distilled(_setting(**setting), runs, "boosting", hyperparameters, lookup_folder)


@main.command()
@setting_options
@protocol_option
@lookup_option
@click.option("--method", required=True, help="Such as promptkd.")
@hyperparameters_option
@run_options
def distill(
    protocol: config.Training,
    lookup_folder: Path,
    method: str,
    hyperparameters: dict[str, Any],
    shots: tuple[int, ...],
    seeds: tuple[int, ...],
    outputs: tuple[Path, ...],
    **setting: Any,
) -> None:
    """Learn a student from the looked-up answers of a tuned teacher, without labels, seed by seed.

    The shots are those that the teacher was tuned on.
    """
    from ..training.stages import Run, train_distilled

    require_same_length(shots=shots, seed=seeds, output=outputs)
    runs = [Run(shots=k, seed=s, output=o) for k, s, o in zip(shots, seeds, outputs, strict=True)]
    train_distilled(_setting(**setting), runs, method, hyperparameters, lookup_folder, protocol=protocol)


@main.command()
@setting_options
@protocol_option
@click.option("--method", required=True, help="Such as coop or coop+caspl.")
@hyperparameters_option
@boosting_option
@click.option(
    "--draw", "draws", type=PATH, multiple=True, required=True, help="Few-shot draw of each prompt."
)
@click.option("--features", type=PATH, multiple=True, help="Looked-up image features of each draw.")
@click.option("--lookup", "lookup_folder", type=PATH, help="The teacher's answers, for methods that ask it.")
@run_options
def adapt(
    protocol: config.Training,
    method: str,
    hyperparameters: dict[str, Any],
    boosting: Path | None,
    draws: tuple[Path, ...],
    features: tuple[Path, ...],
    lookup_folder: Path | None,
    shots: tuple[int, ...],
    seeds: tuple[int, ...],
    outputs: tuple[Path, ...],
    **setting: Any,
) -> None:
    """Learn adapting prompts on few shots of the protocol's classes, one after the other."""
    from ..training.stages import Run, train_adapting

    looked_up = features or (None,) * len(seeds)
    require_same_length(shots=shots, seed=seeds, draw=draws, features=looked_up, output=outputs)
    runs = [
        Run(shots=k, seed=s, draw=d, features=f, output=o)
        for k, s, d, f, o in zip(shots, seeds, draws, looked_up, outputs, strict=True)
    ]
    train_adapting(
        _setting(**setting),
        runs,
        method,
        hyperparameters,
        boosting,
        protocol=protocol,
        lookup_folder=lookup_folder,
    )


def _setting(
    dataset: str,
    config_dir: Path,
    data_root: Path,
    split_file: Path,
    student: config.BackboneConfig,
    regions: int | None,
    region_seed: int,
    region_scale: tuple[float, float],
    stored: Path | None,
    precision: config.Precision,
    device: str,
    threads: int,
    workers: int,
):
    """What all training commands need, loaded."""
    from ..clip.backbone import load_backbone
    from ..data.splits import read_split
    from ..files import sha256
    from ..training.stages import TrainingInputs

    entry = config.load_dataset(dataset, config_dir)
    return TrainingInputs(
        dataset=dataset,
        split=read_split(split_file),
        split_sha256=sha256(split_file),
        image_folder=data_root / entry.folder / entry.images,
        template=entry.template,
        student=load_backbone(student, prepare(device, threads), precision),
        regions=None if regions is None else drawn_regions(regions, region_seed, region_scale),
        store=stored,
        threads=threads,
        workers=workers,
    )
