"""Commands that compute image features once: the teacher's, and the student's where nothing changes them."""

from pathlib import Path
from typing import Any, get_args

import click

from .. import config
from ..errors import UserError
from .group import main
from .options import (
    PATH,
    BackboneType,
    boosting_option,
    dataset_options,
    drawn_regions,
    machine_options,
    options,
    precision_option,
    prepare,
    protocol_option,
    region_options,
    require_same_length,
    split_option,
    stored_option,
    student_option,
)

lookup_options = options(
    click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True),
    click.option("--shard-images", type=click.IntRange(1), default=512, show_default=True),
    precision_option,
    machine_options,
)
lookup_output = click.option("--output", type=PATH, required=True, help="Folder of the lookup.")


@main.command()
@dataset_options
@split_option
@click.option("--teacher", type=BackboneType(), required=True)
@click.option("--prompt", type=PATH, help="Finished prompt that the teacher was tuned by.")
@region_options
@click.option("--part", type=click.IntRange(0), help="Build only every n-th shard, from this one on …")
@click.option("--parts", type=click.IntRange(1), default=1, show_default=True, help="… for this n.")
@stored_option
@click.option(
    "--dtype", type=click.Choice(get_args(config.FeatureType)), default="float16", show_default=True
)
@lookup_options
@lookup_output
def lookup(
    dataset: str,
    config_dir: Path,
    data_root: Path,
    split_file: Path,
    teacher: config.BackboneConfig,
    prompt: Path | None,
    regions: int,
    region_seed: int,
    region_scale: tuple[float, float],
    part: int | None,
    parts: int,
    batch_size: int,
    shard_images: int,
    stored: Path | None,
    dtype: config.FeatureType,
    precision: config.Precision,
    device: str,
    threads: int,
    workers: int,
    output: Path,
) -> None:
    """Compute the teacher's features of random regions of every training image."""
    from ..clip.backbone import load_backbone
    from ..data.splits import read_split
    from ..features.lookup_build import Build, build_part, build_teacher_lookup, frozen_encoder
    from ..features.region_store import open_store

    if (part is None) != (parts == 1) or (part or 0) >= parts:
        raise UserError(
            f"--part {part} --parts {parts}: give both or neither, and a part below the number of parts."
        )
    entry = config.load_dataset(dataset, config_dir)
    split = read_split(split_file)
    drawn = drawn_regions(regions, region_seed, region_scale)
    backbone = load_backbone(teacher, prepare(device, threads), precision)
    build = Build(
        items=split.train,
        image_folder=data_root / entry.folder / entry.images,
        encoder=frozen_encoder(backbone, prompt),
        regions=drawn,
        config=config.LookupConfig(batch_size=batch_size, shard_images=shard_images, dtype=dtype),
        folder=output,
        store=open_store(stored, split.train, drawn, backbone.size),
        workers=workers,
    )
    if part is None:
        build_teacher_lookup(build, entry.template, split.class_names(split.labels))
    else:
        build_part(build, part, parts)


@main.command()
@dataset_options
@split_option
@student_option
@boosting_option
@region_options
@protocol_option
@click.option("--draw", "draws", type=PATH, multiple=True, required=True, help="Few-shot draws.")
@click.option("--output", "outputs", type=PATH, multiple=True, required=True, help="Folder for each draw.")
@lookup_options
def features(
    dataset: str,
    config_dir: Path,
    data_root: Path,
    split_file: Path,
    protocol: config.Training,
    draws: tuple[Path, ...],
    outputs: tuple[Path, ...],
    regions: int,
    region_seed: int,
    region_scale: tuple[float, float],
    batch_size: int,
    shard_images: int,
    workers: int,
    **encoder: Any,
) -> None:
    """Compute the student's features of random regions of the few-shot images of the protocol's classes."""
    from ..data.protocols import training_labels
    from ..data.splits import read_draw, read_split, select_and_relabel
    from ..features.lookup_build import Build, build_student_lookup

    require_same_length(draw=draws, output=outputs)
    entry = config.load_dataset(dataset, config_dir)
    split = read_split(split_file)
    drawn = drawn_regions(regions, region_seed, region_scale)
    student = _student_encoder(**encoder)
    for draw_file, output in zip(draws, outputs, strict=True):
        build = Build(
            items=select_and_relabel(read_draw(draw_file).train, training_labels(split, protocol)),
            image_folder=data_root / entry.folder / entry.images,
            encoder=student,
            regions=drawn,
            config=config.LookupConfig(batch_size=batch_size, shard_images=shard_images),
            folder=output,
            workers=workers,
        )
        build_student_lookup(build)


@main.command()
@dataset_options
@split_option
@student_option
@boosting_option
@lookup_options
@lookup_output
def test_features(
    dataset: str,
    config_dir: Path,
    data_root: Path,
    split_file: Path,
    batch_size: int,
    shard_images: int,
    workers: int,
    output: Path,
    **encoder: Any,
) -> None:
    """Compute the student's features of the test images."""
    from ..data.splits import read_split
    from ..features.lookup_build import Build, build_student_lookup

    entry = config.load_dataset(dataset, config_dir)
    build = Build(
        items=read_split(split_file).test,
        image_folder=data_root / entry.folder / entry.images,
        encoder=_student_encoder(**encoder),
        regions=None,
        config=config.LookupConfig(batch_size=batch_size, shard_images=shard_images),
        folder=output,
        workers=workers,
    )
    build_student_lookup(build)


def _student_encoder(
    student: config.BackboneConfig,
    boosting: Path | None,
    precision: config.Precision,
    device: str,
    threads: int,
):
    """The student's image tower, loaded, with a frozen boosting prompt where one is given."""
    from ..clip.backbone import load_backbone
    from ..features.lookup_build import frozen_encoder

    return frozen_encoder(load_backbone(student, prepare(device, threads), precision), boosting)
