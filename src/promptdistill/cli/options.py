"""What the commands share: their group, a configuration file, and keys of what they make."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..artifacts import Sources
from ..config.models import BackboneConfig
from ..errors import UserError
from ..experiment import Experiment
from ..graph import Artifact
from ..integrity import require
from ..running import take_part

PATH = click.Path(path_type=Path)


class Group(click.Group):
    """Prints a UserError as one sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; exit with status 1 on a UserError, or a file that cannot be used."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            said = str(error)
        except OSError as error:
            said = f"{error.filename} cannot be used: {error.strerror}." if error.filename else f"{error}."
        click.echo(f"promptdistill: {said}", err=True)
        sys.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="promptdistill")
def main() -> None:
    """Prompt learning for vision-language models with distillation."""


def config_options(command: Callable) -> Callable:
    """Options that name the configuration; the command takes `config_file` and `config_dir`."""
    folder, option = Path("config"), functools.partial(click.option, type=PATH, show_default=True)
    about = "The experiment's configuration."
    entries = option("--config-dir", default=folder, help="Folder of the entries of data sets and methods.")
    file = option("--config", "config_file", default=folder / "config.yaml", help=about)
    return file(entries(command))


def with_experiment(command: Callable) -> Callable:
    """Options that name the configuration; the command takes the checked `experiment`."""

    @config_options
    @functools.wraps(command)
    def with_options(config_file: Path, config_dir: Path, **others: Any) -> Any:
        experiment = Experiment.read(config_file, config_dir)
        experiment.refuse_old_results()
        if "artifact" in others or "artifacts" in others:
            take_part(experiment.results)
        for artifact in (*others.get("artifacts", ()), *filter(None, [others.get("artifact")])):
            known = (("dataset", experiment.dataset), ("method", experiment.method))
            for field, read in (*known, ("method", experiment.plugin)):
                if name := getattr(artifact, field, None):
                    read(name)
        return command(experiment=experiment, **others)

    return with_options


def step(kind: type[Artifact]) -> Callable:
    """A subcommand that makes an artifact, or, where runs share a job, one or more of one method.

    The function takes `artifact`, or `artifacts`, and the `experiment`.
    """
    name, form = ("artifacts", {"nargs": -1, "required": True}) if kind.grouped else ("artifact", {})

    def read(_: click.Context, __: click.Parameter, keys: str | tuple[str, ...]) -> Any:
        return tuple(map(kind.parse, keys)) if kind.grouped else kind.parse(keys)

    argument = click.argument(name, metavar="KEY..." if kind.grouped else "KEY", callback=read, **form)
    return lambda command: main.command()(argument(with_experiment(command)))


def load(model: BackboneConfig, experiment: Experiment):
    """A backbone on the experiment's device; sets the number of threads, too."""
    import torch

    from ..clip.backbone import load_backbone, resolve_device

    torch.set_num_threads(experiment.config.jobs.threads)
    torch.backends.cudnn.allow_tf32 = False  # convolutions in full single precision, as on a CPU
    return load_backbone(model, resolve_device(experiment.config.device), experiment.config.precision)


def own_files(experiment: Experiment, method: str, dataset: str, class_names: list[str]) -> dict[str, Any]:
    """What a method reads for the classes of a data set, by the names in its entry."""
    from ..files import read_for_classes

    files = experiment.method_files(method, dataset)
    return {name: read_for_classes(path, class_names) for name, path in files.items()}


def sources(artifact: Artifact, experiment: Experiment) -> Sources:
    """The files that an artifact is made from, by name.

    UserError if one of them is not what the configuration asks for.
    """
    single = {
        name: made[0]
        for name, made in artifact.inputs(experiment).items()
        if len(made) == 1  # those of which there are several, the parts of a lookup, only say when to start
    }
    return sources_named(single, artifact, experiment)


def sources_named(used: dict[str, Artifact], artifact: Artifact, experiment: Experiment) -> Sources:
    """Files that an artifact is made from, under other names than its rule's, and the user's own."""
    made = artifact.made(experiment)  # first, since it says what the configuration does not run
    for one in used.values():
        require(one, experiment)
    paths = {name: experiment.results / one.path for name, one in used.items()}
    files = artifact.files(experiment).items()
    own = {name: paths[0] for name, paths in files if name != "weights" and paths}
    return Sources(experiment.roots, made, **paths, **own)
