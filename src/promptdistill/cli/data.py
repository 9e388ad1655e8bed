"""Commands on data sets: fetch, check, draw; the miniature benchmark; the configuration's schema."""

import logging
from pathlib import Path

import click

from .. import graph
from ..config.schema import Config
from ..errors import UserError
from ..experiment import Experiment
from .options import PATH, main, sources, step

log = logging.getLogger(__name__)


@step(graph.Receipt)
def data(artifact: graph.Receipt, experiment: Experiment) -> None:
    """Fetch or draw the data set KEY, or recognise its folder, and write a receipt of what is there."""
    from ..data.download import fetch
    from ..data.receipt import write_receipt

    name, data_root = artifact.dataset, Path(experiment.config.data_root)
    entry = experiment.dataset(name)
    if entry.miniature:
        from ..miniature import datasets

        datasets.write(entry.miniature, data_root / entry.folder)
    else:
        fetch(name, entry, data_root)
    made, strict = artifact.made(experiment), experiment.config.strict
    output = experiment.results / artifact.path
    for warning in write_receipt(entry, experiment.roots, made, output, strict=strict):
        log.warning("Data set %s: %s.", name, warning)


@step(graph.Split)
def split(artifact: graph.Split, experiment: Experiment) -> None:
    """Check the split of the data set KEY against its files, and write it."""
    from ..data.published import read_published
    from ..data.receipt import read_about, said
    from ..data.splits import check_files, write_split

    entry, used = experiment.dataset(artifact.dataset), sources(artifact, experiment)
    whole = read_published(entry, Path(experiment.config.data_root, entry.folder))
    whole = check_files(whole, experiment.image_folder(artifact.dataset))
    header = {"dataset": artifact.dataset, **used.header()}
    header |= said(read_about(used["receipt"]).warnings)
    write_split(whole, experiment.results / artifact.path, header)


@step(graph.Draw)
def draw(artifact: graph.Draw, experiment: Experiment) -> None:
    """Draw a few shots of each class as the published code does; KEY is DATASET/SHOTS/SEED."""
    from ..data.splits import draw_few_shot, read_split, write_draw

    used, facts = sources(artifact, experiment), vars(artifact)  # data set, shots and seed
    whole = read_split(used["split"])
    if not whole.train:
        raise UserError(f"{artifact.dataset} has no training images, so it can only be tested.")
    drawn = draw_few_shot(whole, artifact.shots, artifact.seed)
    write_draw(drawn, experiment.results / artifact.path, facts | used.header())


@main.command()
@click.option("--output", type=PATH, required=True, help="JSON file to write.")
def schema(output: Path) -> None:
    """Write the JSON schema of the configuration, for editors."""
    from ..files import write_json

    write_json(output, Config.model_json_schema())


@main.group()
def miniature() -> None:
    """The miniature benchmark: its pictures and its two models."""


@miniature.command()
@click.argument("model", type=click.Choice(["student", "teacher"]))
@click.option("--output", type=PATH, required=True, help="Folder for the weights and their card.")
def pretrain(model: str, output: Path) -> None:
    """Train one of the two small CLIP models again (tens of minutes on two cores)."""
    from ..miniature import pretrain as recipes

    recipes.save(*recipes.pretrain(recipes.RECIPES[model]), output)
