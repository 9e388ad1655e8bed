"""The published splits of data sets, in the forms in which they are distributed."""

import unicodedata
from collections import Counter
from pathlib import Path

from ..config.entries import DatasetConfig
from ..errors import UserError
from ..files import read_text
from .splits import PARTS, Item, Split, check_labels, read_zhou

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png"}  # compared in lower case; ImageNet's own is .JPEG


def read_published(dataset: DatasetConfig, folder: Path) -> Split:
    """Read the split of a data set in `folder` (its own folder, below data_root) and check its form.

    Raises UserError if the file is malformed, labels and names of classes do not fit together, there are
    fewer than two classes or no test images.
    """
    path = split_file(dataset, folder)
    try:
        split = _READERS[dataset.split_format](path, folder / dataset.images)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}.") from None
    check_labels(split, path)
    if not split.test:
        raise UserError(f"{path} names no test images: nothing could be tested.")
    return split


def split_file(dataset: DatasetConfig, folder: Path) -> Path:
    """The split file of a data set in `folder`.

    A variant of ImageNet without a copy of the class names takes ImageNet's own file, beside `folder`.
    """
    own = folder / dataset.split
    imagenets = folder.parent / "imagenet" / dataset.split
    borrows = dataset.split_format == "imagenet_variant" and not own.is_file() and imagenets.is_file()
    return imagenets if borrows else own


def split_files(dataset: DatasetConfig, folder: Path) -> dict[str, Path]:
    """All files that the split of a data set in `folder` is read from, by name."""
    path, files = split_file(dataset, folder), {}
    if dataset.split_format == "fgvc_aircraft":
        files = {f"published {part} list": _fgvc_list(path, part) for part in PARTS}
    return {"published split": path, **files}


def _fgvc_list(path: Path, part: str) -> Path:
    return path.with_name(f"images_variant_{part}.txt")


def _read_fgvc_aircraft(path: Path, _: Path) -> Split:
    """The lists images_variant_{train,val,test}.txt ("1025794 707-320") and variants.txt (label order)."""
    variants = path.with_name("variants.txt")
    names = _lines(variants)
    label_of = {name: label for label, name in enumerate(names)}
    if len(label_of) < len(names):
        raise UserError(f"{variants} holds {_repeated(names)!r} twice: drop one line.")
    parts: dict[str, list[Item]] = {part: [] for part in PARTS}
    for part in PARTS:
        images = _fgvc_list(path, part)
        for image, name in _rows(images, "an image and its variant"):
            if name not in label_of:
                raise UserError(f"{images}: {name!r}, of image {image}, is no variant of {variants}.")
            parts[part].append(Item(f"{image}.jpg", label_of[name], name))
    return Split(**parts)


def _imagenet_classes(path: Path) -> list[tuple[str, str]]:
    """WordNet id and name of all classes of classnames.txt ("n01440764 tench" a line), by label: in order."""
    rows = _rows(path, "a WordNet id and a name")
    ids = [wordnet_id for wordnet_id, _ in rows]
    if len(set(ids)) < len(ids):
        raise UserError(f"{path} holds {_repeated(ids)!r} twice: drop one line.")
    return sorted(rows)


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
    found, classes = {}, _imagenet_classes(path)
    for part in ("train", "val"):
        found[part] = [
            item
            for label, (wordnet_id, name) in enumerate(classes)
            for item in _class_items(path.parent / "images", f"{part}/{wordnet_id}", label, name)
        ]
        if not found[part]:
            raise UserError(
                f"{path.parent / 'images' / part} has no images in folders named by the WordNet ids of "
                f"{path.name}: if they lie there without folders, sort them into one folder a class."
            )
    return Split(train=found["train"], val=[], test=found["val"])


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
    """The lines of a list that hold something, in composed form (Unicode's NFC), so that names compare."""
    text = unicodedata.normalize("NFC", read_text(path))
    return [line.strip() for line in text.splitlines() if line.strip()]


def _rows(path: Path, what: str) -> list[tuple[str, str]]:
    """The first word of each line, and the others; `what` they are."""
    rows = []
    for line in _lines(path):
        first, _, others = line.partition(" ")
        if not others.strip():
            raise UserError(f"{path}: each line must hold {what}, unlike {line[:50]!r}.")
        rows.append((first, others.strip()))
    return rows


def _repeated(names: list[str]) -> str:
    return next(name for name, count in Counter(names).items() if count > 1)


_READERS = {
    "zhou": lambda path, _: read_zhou(path),
    "fgvc_aircraft": _read_fgvc_aircraft,
    "imagenet": _read_imagenet,
    "imagenet_variant": _read_imagenet_variant,
}
