"""Commands on data sets: fetch, check, draw; and the configuration's schema."""

from pathlib import Path

import click

from .. import config
from .group import main
from .options import PATH, SEED, dataset_options, split_option


@main.command()
@dataset_options
@click.option("--output", type=PATH, required=True, help="Receipt to write: what was found or fetched.")
def data(dataset: str, config_dir: Path, data_root: Path, output: Path) -> None:
    """Fetch a data set, or recognise its folder, and write a receipt."""
    from ..data.download import fetch
    from ..data.receipt import write_receipt

    entry = config.load_dataset(dataset, config_dir)
    fetch(dataset, entry, data_root)
    write_receipt(dataset, entry, data_root, output)


@main.command()
@dataset_options
@click.option("--output", type=PATH, required=True, help="JSON file to write.")
def split(dataset: str, config_dir: Path, data_root: Path, output: Path) -> None:
    """Check a data set's split against its files, and write it."""
    from ..data import splits

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
    from ..data import splits

    splits.write_draw(splits.draw_few_shot(splits.read_split(split_file), shots, seed), output)


@main.command()
@click.option("--output", type=PATH, required=True, help="JSON file to write.")
def schema(output: Path) -> None:
    """Write the JSON schema of the configuration, for editors."""
    from ..files import write_json

    write_json(output, config.Config.model_json_schema())
