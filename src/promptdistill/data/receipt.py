"""The receipt of a data set: what was found in its folder."""

from pathlib import Path

from ..artifacts import INPUTS, Roots
from ..config.entries import DatasetConfig
from ..files import write_json
from .published import read_published, split_file
from .splits import PARTS


def write_receipt(name: str, dataset: DatasetConfig, roots: Roots, output: Path) -> None:
    """Write the data set's counts, next to those of the published split, and its split file's hash.

    A folder may hold a subset of the published data set, so a difference in counts is not an error; it
    stands in the receipt.
    """
    folder = roots.data / dataset.folder
    split = read_published(dataset, folder)
    write_json(
        output,
        {
            "dataset": name,
            "folder": dataset.folder,
            "split": dataset.split,
            "classes": len(split.labels),
            "published_classes": dataset.classes,
            "images": {part: len(getattr(split, part)) for part in PARTS},
            "published_images": dataset.sizes,
            INPUTS: {"published split": roots.record(split_file(dataset, folder)).model_dump()},
        },
    )
