"""Commands of the miniature benchmark."""

from pathlib import Path

import click

from .options import PATH, main


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


@miniature.command()
@click.option("--output", type=PATH, required=True, help="PNG file to write.")
def contact_sheet(output: Path) -> None:
    """Draw some pictures of every data set on one sheet."""
    from ..miniature.datasets import write_contact_sheet

    write_contact_sheet(output)
