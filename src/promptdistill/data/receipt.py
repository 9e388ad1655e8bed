"""The receipt of a data set: what was found in its folder."""

from pathlib import Path

from ..config import DatasetConfig
from ..files import sha256, write_json
from .splits import PARTS, read_published, split_file


def write_receipt(name: str, dataset: DatasetConfig, data_root: Path, output: Path) -> None:
    """Write the data set's counts, next to those of the published split, and its split file's hash.

    A folder may hold a subset of the published data set, so a difference in counts is not an error; it
    stands in the receipt.
    """
    folder = data_root / dataset.folder
    split = read_published(dataset, folder)
    write_json(
        output,
        {
            "dataset": name,
            "folder": dataset.folder,
            "split": dataset.split,
            "split_sha256": sha256(split_file(dataset, folder)),
            "classes": len(split.labels),
            "published_classes": dataset.classes,
            "images": {part: len(getattr(split, part)) for part in PARTS},
            "published_images": dataset.sizes,
        },
    )
