"""The receipt of a data set: what was found in its folder."""

from itertools import islice
from pathlib import Path

from pydantic import BaseModel

from ..artifacts import Made, Roots, Sources, read_header, write_sealed
from ..config.entries import DatasetConfig
from ..errors import UserError
from ..files import sha256, sha256_of_json
from ..validation import validate
from .findings import findings
from .published import read_published, split_files
from .splits import PARTS, Split, check_files, missing_image

_MOST_FILES = 200_000  # whose times are looked at whenever the workflow starts


class About(BaseModel):
    """What is read of a receipt, or of the header of a split; warnings say what is doubtful, if anything.

    `content_sha256` is of all images, by their paths.
    """

    dataset: str
    folder: str = ""
    warnings: list[str] = []
    content_sha256: str = ""


def write_receipt(
    dataset: DatasetConfig, roots: Roots, made: Made, output: Path, *, strict: bool = False
) -> list[str]:
    """Write the data set's counts, next to those of the published split, and its split file's hash.

    A folder may hold a subset of the published data set, so a difference in counts is not an error; it
    stands in the receipt, as do the returned warnings.  UserError if the split is malformed, an image is
    missing, or there is a warning and the user is `strict`.
    """
    folder = roots.data / dataset.folder
    image_folder = folder / dataset.images
    split = check_files(read_published(dataset, folder), image_folder)
    contents = contents_of(split, image_folder)
    warnings = findings(dataset, split, contents)
    if warnings and strict:
        raise UserError(f"Data set {made.key}: {'; '.join(warnings)}.  Mend it, or do without strict: true.")
    used = Sources(roots, made, **split_files(dataset, folder))
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
            "content_sha256": sha256_of_json(contents),
            **used.header(),
        }
        | said(warnings),
    )
    return warnings


def read_about(path: Path) -> About:
    """Read a receipt, or the header of a split; UserError if it is missing or damaged."""
    return validate(About, read_header(path), str(path))


def images_are(receipt: Path, dataset: DatasetConfig, data_root: Path) -> bool:
    """Whether the images of a data set are still those of its receipt, by their content."""
    folder = data_root / dataset.folder
    split = read_published(dataset, folder)
    return sha256_of_json(contents_of(split, folder / dataset.images)) == read_about(receipt).content_sha256


def contents_of(split: Split, image_folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every image, each read once; UserError if one is missing."""
    found = {}
    for path in dict.fromkeys(item.path for item in split.items):
        try:
            found[path] = sha256(image_folder / path)
        except FileNotFoundError:
            raise missing_image(image_folder / path) from None
    return found


def last_change(image_folder: Path) -> int | None:
    """When an image was last added, changed or taken away, in ns; None for a large folder, or none."""
    if not image_folder.is_dir():
        return None
    below = list(islice(image_folder.rglob("*"), _MOST_FILES + 1))
    return (
        None if len(below) > _MOST_FILES else max(path.stat().st_ctime_ns for path in [image_folder, *below])
    )


def said(warnings: list[str]) -> dict[str, list[str]]:
    """How warnings stand in a receipt, and in the header of a split."""
    return {"warnings": warnings} if warnings else {}
