"""The published splits of data sets, in the forms in which they are distributed."""

from pathlib import Path

from ..config.entries import DatasetConfig
from ..errors import UserError
from .splits import PARTS, Item, Split, check_labels, read_zhou

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png"}  # compared in lower case; ImageNet's own is .JPEG


def read_published(dataset: DatasetConfig, folder: Path) -> Split:
    """Read the split of a data set in `folder` (its own folder, below data_root) and check its form.

    Raises UserError if the file is malformed, a label is negative or has two names, or there are
    fewer than two classes.
    """
    path = split_file(dataset, folder)
    split = _READERS[dataset.split_format](path, folder / dataset.images)
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


def _read_fgvc_aircraft(path: Path, _: Path) -> Split:
    """The lists images_variant_{train,val,test}.txt ("1025794 707-320") and variants.txt (label order)."""
    label_of = {name: label for label, name in enumerate(_lines(path.with_name("variants.txt")))}
    parts = {}
    for part in PARTS:
        rows = [line.split(" ", 1) for line in _lines(path.with_name(f"images_variant_{part}.txt"))]
        parts[part] = [Item(f"{image}.jpg", label_of[name], name) for image, name in rows]
    return Split(**parts)


def _imagenet_classes(path: Path) -> list[tuple[str, str]]:
    """WordNet id and name of all classes of classnames.txt ("n01440764 tench" a line), by label: in order."""
    rows = [line.split(" ", 1) for line in _lines(path)]
    if any(len(row) < 2 for row in rows):
        raise UserError(f"{path} is not a list of classes: each line must hold a WordNet id and a name.")
    return sorted(dict(rows).items())


def _class_items(image_folder: Path, folder: str, label: int, name: str) -> list[Item]:
    """The images in one folder (below the image folder) of a class; none if there is no such folder."""
    found = sorted(
        file.name
        for file in (image_folder / folder).glob("*")
        if file.suffix.lower() in IMAGE_ENDINGS and not file.name.startswith(".")
    )
    return [Item(f"{folder}/{file}", label, name) for file in found]


def _read_imagenet(path: Path, _: Path) -> Split:
    """classnames.txt and images/{train,val}/<WordNet id>; val is the test set."""
    train, test = (
        [
            item
            for label, (wordnet_id, name) in enumerate(_imagenet_classes(path))
            for item in _class_items(path.parent / "images", f"{part}/{wordnet_id}", label, name)
        ]
        for part in ("train", "val")
    )
    return Split(train=train, val=[], test=test)


def _read_imagenet_variant(path: Path, image_folder: Path) -> Split:
    """classnames.txt and one folder of test images a class, named by its WordNet id or its label.

    Labels are ImageNet's, also where the images are of fewer classes.
    """
    classes = _imagenet_classes(path)
    class_of = {wordnet_id: (label, name) for label, (wordnet_id, name) in enumerate(classes)}
    class_of |= {str(label): (label, name) for label, name in class_of.values()}
    entries = image_folder.iterdir() if image_folder.is_dir() else ()
    folders = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    unknown = sorted(set(folders) - set(class_of))
    if unknown:
        raise UserError(
            f"{image_folder} holds the folder {unknown[0]!r}, which is neither a WordNet id of {path} nor "
            f"a label number (0 to {len(classes) - 1}): rename it, or move it elsewhere."
        )
    folders.sort(key=lambda folder: (class_of[folder][0], folder))  # by label: "10" comes after "9"
    test = [item for folder in folders for item in _class_items(image_folder, folder, *class_of[folder])]
    if not test:
        raise UserError(
            f"{image_folder} has no images: place there one folder a class, named by its WordNet id or "
            "its label number, with the class's images."
        )
    return Split(train=[], val=[], test=test)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist, and the data set's split needs it.") from None


_READERS = {
    "zhou": lambda path, _: read_zhou(path),
    "fgvc_aircraft": _read_fgvc_aircraft,
    "imagenet": _read_imagenet,
    "imagenet_variant": _read_imagenet_variant,
}
