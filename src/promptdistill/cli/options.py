"""Options that several commands share, and what they are turned into."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from .. import config
from ..errors import UserError

PATH = click.Path(path_type=Path)
SEED = click.IntRange(0, 2**31 - 1)


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


class ConfigurationType(JsonType):
    """The whole configuration of an experiment, as a JSON object."""

    name = "configuration"

    def convert(self, value: Any, param: Any, ctx: Any) -> config.Config:
        """Parse and check it."""
        if isinstance(value, config.Config):
            return value
        return config.validate(config.Config, super().convert(value, param, ctx), "--configuration")


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
region_seed = click.option("--region-seed", type=click.IntRange(0), default=1, show_default=True)
region_scale = click.option(
    "--region-scale",
    type=(float, float),
    default=(0.08, 1.0),
    show_default=True,
    help="Least, greatest area.",
)
region_options = options(
    click.option("--regions", type=click.IntRange(1), required=True, help="Random regions of each image."),
    region_seed,
    region_scale,
)
training_region_options = options(
    click.option("--regions", type=click.IntRange(1), help="Random regions of each image, if it sees them."),
    region_seed,
    region_scale,
)
protocol_option = click.option(
    "--protocol",
    type=click.Choice(get_args(config.Training)),
    default="base_to_novel",
    show_default=True,
    help="Base classes, all classes, or all classes of a source that is tested elsewhere.",
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


def prepare(device: str, threads: int):
    """Set the number of threads; return the torch device."""
    import torch

    from ..clip.backbone import resolve_device

    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # convolutions in full single precision, as on a CPU
    return resolve_device(device)


def drawn_regions(count: int, seed: int, scale: tuple[float, float]) -> config.Regions:
    """The regions that the options ask for; UserError if the scale is impossible."""
    return config.validate(config.Regions, {"count": count, "seed": seed, "scale": scale}, "--region-scale")


def require_same_length(**given: tuple) -> None:
    """UserError unless these options were given equally often."""
    lengths = {name: len(values) for name, values in given.items()}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{count} x --{name}" for name, count in lengths.items())
        raise UserError(f"These options must be given equally often, but there are {counted}.")
