"""The published splits of data sets, in the forms in which they are distributed."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..config import DatasetConfig
from ..errors import UserError
from .splits import PARTS, Item, Split, check_labels, read_zhou

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png"}  # compared in lower case; ImageNet's own is .JPEG


def read_published(dataset: DatasetConfig, folder: Path) -> Split:
    """Read the split of a data set in `folder` (its own folder, below data_root) and check its form.

    Raises UserError if the file is malformed, a label is negative or has two names, or there are
    fewer than two classes.
    """
    readers: dict[str, Callable[[Path], Split]] = {
        "zhou": read_zhou,
        "fgvc_aircraft": _read_fgvc_aircraft,
        "imagenet": _read_imagenet,
        "imagenet_variant": partial(_read_imagenet_variant, image_folder=folder / dataset.images),
    }
    path = split_file(dataset, folder)
    split = readers[dataset.split_format](path)
    check_labels(split, path)
    return split


def split_file(dataset: DatasetConfig, folder: Path) -> Path:
    """The split file of a data set in `folder`.

    A variant of ImageNet without a copy of the class names takes ImageNet's own file, beside `folder`.
    """
    own = folder / dataset.split
    imagenets = folder.parent / "imagenet" / dataset.split
    borrows = dataset.split_format == "imagenet_variant" and not own.is_file() and imagenets.is_file()
    return imagenets if borrows else own


def _read_fgvc_aircraft(path: Path) -> Split:
    """The lists images_variant_{train,val,test}.txt ("1025794 707-320") and variants.txt (label order)."""
    label_of = {name: label for label, name in enumerate(_lines(path.with_name("variants.txt")))}
    parts = {}
    for part in PARTS:
        rows = [line.split(" ", 1) for line in _lines(path.with_name(f"images_variant_{part}.txt"))]
        parts[part] = [Item(f"{image}.jpg", label_of[name], name) for image, name in rows]
    return Split(**parts)


class _ImageNetClass(NamedTuple):
    """A class of ImageNet; labels follow the order of the WordNet ids."""

    wordnet_id: str
    label: int
    name: str


def _imagenet_classes(path: Path) -> list[_ImageNetClass]:
    """All classes of classnames.txt ("n01440764 tench" a line), by label."""
    rows = [line.split(" ", 1) for line in _lines(path)]
    if any(len(row) < 2 for row in rows):
        raise UserError(f"{path} is not a list of classes: each line must hold a WordNet id and a name.")
    return [_ImageNetClass(id_, label, name) for label, (id_, name) in enumerate(sorted(dict(rows).items()))]


def _class_items(image_folder: Path, folder: str, class_: _ImageNetClass) -> list[Item]:
    """The images in one folder (below the image folder) of a class; none if there is no such folder."""
    found = sorted(
        file.name
        for file in (image_folder / folder).glob("*")
        if file.suffix.lower() in IMAGE_ENDINGS and not file.name.startswith(".")
    )
    return [Item(f"{folder}/{name}", class_.label, class_.name) for name in found]


def _read_imagenet(path: Path) -> Split:
    """classnames.txt and images/{train,val}/<WordNet id>; val is the test set."""
    classes = _imagenet_classes(path)

    def listed(part: str) -> list[Item]:
        folders = ((f"{part}/{class_.wordnet_id}", class_) for class_ in classes)
        return [item for row in folders for item in _class_items(path.parent / "images", *row)]

    return Split(train=listed("train"), val=[], test=listed("val"))


def _read_imagenet_variant(path: Path, image_folder: Path) -> Split:
    """classnames.txt and one folder of test images a class, named by its WordNet id or its label.

    Labels are ImageNet's, also where the images are of fewer classes.
    """
    classes = _imagenet_classes(path)
    class_of = {class_.wordnet_id: class_ for class_ in classes}
    class_of |= {str(class_.label): class_ for class_ in classes}
    folders = _visible_folders(image_folder)
    unknown = sorted(set(folders) - set(class_of))
    if unknown:
        raise UserError(
            f"{image_folder} holds the folder {unknown[0]!r}, which is neither a WordNet id of {path} nor "
            f"a label number (0 to {len(classes) - 1}): rename it, or move it elsewhere."
        )
    folders.sort(key=lambda folder: (class_of[folder].label, folder))  # by label: "10" comes after "9"
    test = [item for folder in folders for item in _class_items(image_folder, folder, class_of[folder])]
    if not test:
        raise UserError(
            f"{image_folder} has no images: place there one folder a class, named by its WordNet id or "
            "its label number, with the class's images."
        )
    return Split(train=[], val=[], test=test)


def _visible_folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, but for hidden ones; none if it does not exist."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist, and the data set's split needs it.") from None
