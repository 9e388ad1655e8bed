"""The command line: one subcommand a step of the pipeline, each usable by hand.

A command parses its options and calls one function of the library; torch and open_clip are
imported only by the commands that compute.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from . import config
from .errors import UserError

PATH = click.Path(path_type=Path)
SEED = click.IntRange(0, 2**31 - 1)


class Group(click.Group):
    """Prints a UserError as one sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; exit with status 1 on a UserError, or a file that cannot be used."""
        try:
            return super().invoke(ctx)
        except (UserError, OSError) as error:
            click.echo(f"promptdistill: {error}", err=True)
            sys.exit(1)


class BackboneType(click.ParamType):
    """MODEL:PRETRAINED, such as ViT-B-16:openai."""

    name = "model:pretrained"

    def convert(self, value: Any, param: Any, ctx: Any) -> config.BackboneConfig:
        """Split at the first colon."""
        model, colon, pretrained = str(value).partition(":")
        if not (model and colon and pretrained):
            self.fail(f"{value!r} is not of the form MODEL:PRETRAINED", param, ctx)
        return config.BackboneConfig(model=model, pretrained=pretrained)


class JsonType(click.ParamType):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Any]:
        """Parse it."""
        try:
            parsed = json.loads(value) if isinstance(value, str) else value
        except json.JSONDecodeError as error:
            self.fail(f"not valid JSON: {error}", param, ctx)
        if not isinstance(parsed, dict):
            self.fail("not a JSON object", param, ctx)
        return parsed


def options(*decorators: Callable) -> Callable:
    """Several options as one decorator, in their order."""

    def decorate(command: Callable) -> Callable:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


dataset_options = options(
    click.option("--dataset", required=True, help="Name of an entry in config/datasets."),
    click.option("--config-dir", type=PATH, default=Path("config"), show_default=True),
    click.option("--data-root", type=PATH, required=True, help="Folder of the data sets' folders."),
)
machine_options = options(
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads."),
    click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Loader processes."),
)
region_options = options(
    click.option("--regions", type=click.IntRange(1), required=True, help="Random regions of each image."),
    click.option("--region-seed", type=click.IntRange(0), required=True, help="Seed of their geometry."),
    click.option("--region-scale", type=(float, float), required=True, help="Least and greatest area."),
)
precision_option = click.option(
    "--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True
)
stored_option = click.option("--stored-regions", "stored", type=PATH, help="Folder of stored regions.")
boosting_option = click.option("--boosting", type=PATH, help="Boosting prompt of a method with +caspl.")
split_option = click.option("--split", "split_file", type=PATH, required=True, help="Checked split file.")
hyperparameters_option = click.option(
    "--hyperparameters", type=JsonType(), default="{}", help="JSON object; see config/methods."
)
student_option = click.option("--student", type=BackboneType(), required=True)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="promptdistill")
def main() -> None:
    """Prompt learning for vision-language models with distillation."""


@main.command()
@dataset_options
@click.option("--output", type=PATH, required=True, help="Receipt to write: what was found or fetched.")
def data(dataset: str, config_dir: Path, data_root: Path, output: Path) -> None:
    """Fetch a data set, or recognise its folder, and write a receipt."""
    from .data.download import fetch
    from .data.receipt import write_receipt

    entry = config.load_dataset(dataset, config_dir)
    fetch(dataset, entry, data_root)
    write_receipt(dataset, entry, data_root, output)


@main.command()
@dataset_options
@click.option("--output", type=PATH, required=True, help="JSON file to write.")
def split(dataset: str, config_dir: Path, data_root: Path, output: Path) -> None:
    """Check a data set's split against its files, and write it."""
    from .data import splits

    entry = config.load_dataset(dataset, config_dir)
    folder = data_root / entry.folder
    whole = splits.read_published(entry, folder)
    splits.check_files(whole, folder / entry.images)
    splits.write_split(whole, output)


@main.command()
@split_option
@click.option("--shots", type=click.IntRange(1), required=True, help="Images of each class.")
@click.option("--seed", type=SEED, required=True)
@click.option("--output", type=PATH, required=True, help="JSON file to write.")
def draw(split_file: Path, shots: int, seed: int, output: Path) -> None:
    """Draw a few shots of each class from a split, as the published code does."""
    from .data import splits

    splits.write_draw(splits.draw_few_shot(splits.read_split(split_file), shots, seed), output)


@main.command()
@dataset_options
@split_option
@student_option
@region_options
@click.option(
    "--max-gb", type=click.FloatRange(0), required=True, help="Disk they may take; else none is kept."
)
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Loader processes.")
@click.option("--output", type=PATH, required=True, help="Folder of the stored regions.")
def regions(
    dataset: str,
    config_dir: Path,
    data_root: Path,
    split_file: Path,
    student: config.BackboneConfig,
    regions: int,
    region_seed: int,
    region_scale: tuple[float, float],
    max_gb: float,
    workers: int,
    output: Path,
) -> None:
    """Cut random regions of every training image at the student's input size, and store them."""
    from .clip.backbone import load_backbone
    from .data.region_build import store_regions
    from .data.splits import read_split

    entry = config.load_dataset(dataset, config_dir)
    store_regions(
        read_split(split_file).train,
        data_root / entry.folder / entry.images,
        _regions(regions, region_seed, region_scale),
        load_backbone(student).size,
        max_gb,
        output,
        workers,
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
@region_options
@click.option("--part", type=click.IntRange(0), help="Build only every n-th shard, from this one on …")
@click.option("--parts", type=click.IntRange(1), default=1, show_default=True, help="… for this n.")
@stored_option
@lookup_options
@lookup_output
def lookup(
    dataset: str,
    config_dir: Path,
    data_root: Path,
    split_file: Path,
    teacher: config.BackboneConfig,
    regions: int,
    region_seed: int,
    region_scale: tuple[float, float],
    part: int | None,
    parts: int,
    batch_size: int,
    shard_images: int,
    stored: Path | None,
    precision: config.Precision,
    device: str,
    threads: int,
    workers: int,
    output: Path,
) -> None:
    """Compute the teacher's features of random regions of every training image."""
    from .clip.backbone import load_backbone
    from .clip.prompted import PromptedClip
    from .data.region_store import open_store
    from .data.splits import read_split
    from .lookup.build import Build, Encoder, build_part, build_teacher_lookup

    if (part is None) != (parts == 1) or (part or 0) >= parts:
        raise UserError(
            f"--part {part} --parts {parts}: give both or neither, and a part below the number of parts."
        )
    entry = config.load_dataset(dataset, config_dir)
    split = read_split(split_file)
    drawn = _regions(regions, region_seed, region_scale)
    backbone = load_backbone(teacher, _prepare(device, threads), precision)
    build = Build(
        items=split.train,
        image_folder=data_root / entry.folder / entry.images,
        encoder=Encoder(clip=PromptedClip(backbone, [])),
        regions=drawn,
        config=config.LookupConfig(batch_size=batch_size, shard_images=shard_images),
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
@click.option("--draw", "draws", type=PATH, multiple=True, required=True, help="Few-shot draws.")
@click.option("--output", "outputs", type=PATH, multiple=True, required=True, help="Folder for each draw.")
@lookup_options
def features(
    dataset: str,
    config_dir: Path,
    data_root: Path,
    split_file: Path,
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
    """Compute the student's features of random regions of the base classes' few-shot images."""
    from .data.splits import of_labels, read_draw, read_split
    from .lookup.build import Build, build_student_lookup

    _require_same_length(draw=draws, output=outputs)
    entry = config.load_dataset(dataset, config_dir)
    split = read_split(split_file)
    drawn = _regions(regions, region_seed, region_scale)
    student = _student_encoder(**encoder)
    for draw_file, output in zip(draws, outputs, strict=True):
        build = Build(
            items=of_labels(read_draw(draw_file).train, split.base_labels),
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
    from .data.splits import read_split
    from .lookup.build import Build, build_student_lookup

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
    from .training.stages import train_boosting

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
    from .training.stages import Run, train_adapting

    looked_up = features or (None,) * len(seeds)
    _require_same_length(seed=seeds, draw=draws, features=looked_up, output=outputs)
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
    from .clip.backbone import load_backbone
    from .data.splits import read_split
    from .evaluation import predict

    _require_same_length(prompt=prompts or (None,), output=outputs)
    entry = config.load_dataset(dataset, config_dir)
    split = read_split(split_file)
    backbone = load_backbone(student, _prepare(device, threads), precision)
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
    from .evaluation.metrics import base_to_novel_metrics
    from .files import write_json

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
    from .files import read_json
    from .report import base_to_novel, plot, render

    titles = {method: config.method_title(method, config_dir) for method in methods}
    rows = read_json(metrics_file)
    cells = base_to_novel.summarise(rows, list(datasets), titles, published)
    render.write_seeds(rows, output)
    render.write_tables(cells, output, note=note, config_hash=config_hash)
    plot.write_bars(cells, output.with_suffix(".png"))


@main.command()
@click.option("--output", type=PATH, required=True, help="JSON file to write.")
def schema(output: Path) -> None:
    """Write the JSON schema of the configuration, for editors."""
    from .files import write_json

    write_json(output, config.Config.model_json_schema())


@main.group()
def miniature() -> None:
    """The miniature benchmark: its pictures and its two models."""


@miniature.command()
@click.argument("model", type=click.Choice(["student", "teacher"]))
@click.option("--output", type=PATH, required=True, help="Folder for the weights and their card.")
def pretrain(model: str, output: Path) -> None:
    """Train one of the two small CLIP models anew (tens of minutes on two cores)."""
    from .miniature import pretrain as recipes

    recipes.save(*recipes.pretrain(recipes.RECIPES[model]), output)


@miniature.command()
@click.option("--output", type=PATH, required=True, help="PNG file to write.")
def contact_sheet(output: Path) -> None:
    """Draw some pictures of every data set on one sheet."""
    from .miniature.datasets import write_contact_sheet

    write_contact_sheet(output)


def _prepare(device: str, threads: int):
    """Set the number of threads; return the torch device."""
    import torch

    from .clip.backbone import resolve_device

    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # convolutions in full single precision, as on a CPU
    return resolve_device(device)


def _student_encoder(
    student: config.BackboneConfig,
    boosting: Path | None,
    precision: config.Precision,
    device: str,
    threads: int,
):
    """The student's image tower, loaded, with a frozen boosting prompt where one is given."""
    from .clip.backbone import load_backbone
    from .lookup.build import student_encoder

    return student_encoder(load_backbone(student, _prepare(device, threads), precision), boosting)


def _regions(count: int, seed: int, scale: tuple[float, float]) -> config.Regions:
    return config.validate(config.Regions, {"count": count, "seed": seed, "scale": scale}, "--region-scale")


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
    from .clip.backbone import load_backbone
    from .data.splits import read_split
    from .files import sha256
    from .training.stages import Setting

    entry = config.load_dataset(dataset, config_dir)
    return Setting(
        dataset=dataset,
        split=read_split(split_file),
        split_sha256=sha256(split_file),
        image_folder=data_root / entry.folder / entry.images,
        template=entry.template,
        student=load_backbone(student, _prepare(device, threads), precision),
        regions=_regions(regions, region_seed, region_scale),
        store=stored,
        threads=threads,
        workers=workers,
    )


def _require_same_length(**given: tuple) -> None:
    lengths = {name: len(values) for name, values in given.items()}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{count} x --{name}" for name, count in lengths.items())
        raise UserError(f"These options must be given equally often, but there are {counted}.")
