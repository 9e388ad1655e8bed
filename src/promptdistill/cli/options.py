"""What the pipeline's commands share: a configuration file, and keys of what they make."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..experiment import Experiment
from ..graph import Artifact

PATH = click.Path(path_type=Path)


class ArtifactType(click.ParamType):
    """The key of one kind of artifact, such as base_to_novel/dtd/coop/16/1."""

    def __init__(self, artifact: type[Artifact]) -> None:
        self.artifact = artifact
        self.name = artifact.rule

    def convert(self, value: Any, param: Any, ctx: Any) -> Artifact:
        """Read the key."""
        return value if isinstance(value, Artifact) else self.artifact.parse(value)


def key_argument(artifact: type[Artifact]) -> Callable:
    """One key: the command takes `artifact`."""
    return click.argument("artifact", metavar="KEY", type=ArtifactType(artifact))


def keys_argument(artifact: type[Artifact]) -> Callable:
    """One key or more, which share a process: the command takes `artifacts`."""
    kind = ArtifactType(artifact)
    return click.argument("artifacts", metavar="KEY...", type=kind, nargs=-1, required=True)


def config_options(command: Callable) -> Callable:
    """Options that name the configuration; the command takes `config_file` and `config_dir`."""
    for option in (
        click.option(
            "--config-dir",
            type=PATH,
            default=Path("config"),
            show_default=True,
            help="Folder of the entries of data sets and methods.",
        ),
        click.option(
            "--config",
            "config_file",
            type=PATH,
            default=Path("config/config.yaml"),
            show_default=True,
            help="The experiment's configuration.",
        ),
    ):
        command = option(command)
    return command


def with_experiment(command: Callable) -> Callable:
    """Options that name the configuration; the command takes the checked `experiment`."""

    @config_options
    @functools.wraps(command)
    def with_options(config_file: Path, config_dir: Path, **others: Any) -> Any:
        return command(experiment=Experiment.read(config_file, config_dir), **others)

    return with_options


def prepare(experiment: Experiment):
    """Set the number of threads; return the torch device."""
    import torch

    from ..clip.backbone import resolve_device

    torch.set_num_threads(experiment.config.jobs.threads)
    torch.backends.cudnn.allow_tf32 = False  # convolutions in full single precision, as on a CPU
    return resolve_device(experiment.config.device)


def sources(artifact: Artifact, experiment: Experiment):
    """The files that an artifact is made from, by name; those that only say when to start are left out."""
    from ..artifacts import Sources

    inputs = {
        name: experiment.results / made[0].path
        for name, made in artifact.inputs(experiment).items()
        if len(made) == 1 and name != "parts"
    }
    own = {
        name: paths[0] for name, paths in artifact.files(experiment).items() if name != "weights" and paths
    }
    return Sources(experiment.roots, **inputs, **own)
