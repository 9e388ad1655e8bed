"""The receipt of a data set: what was found in its folder."""

from pathlib import Path

from ..artifacts import Made, Roots, Sources, write_sealed
from ..config.entries import DatasetConfig
from .published import read_published, split_file
from .splits import PARTS


def write_receipt(dataset: DatasetConfig, roots: Roots, made: Made, output: Path) -> None:
    """Write the data set's counts, next to those of the published split, and its split file's hash.

    A folder may hold a subset of the published data set, so a difference in counts is not an error; it
    stands in the receipt.
    """
    folder = roots.data / dataset.folder
    split = read_published(dataset, folder)
    used = Sources(roots, made, **{"published split": split_file(dataset, folder)})
    write_sealed(
        output,
        {
            "dataset": made.key,
            "folder": dataset.folder,
            "split": dataset.split,
            "classes": len(split.labels),
            "published_classes": dataset.classes,
            "images": {part: len(getattr(split, part)) for part in PARTS},
            "published_images": dataset.sizes,
            **used.header(),
        },
    )
