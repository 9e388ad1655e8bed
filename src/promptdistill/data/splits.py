"""Splits in the published format, their base and novel halves, and few-shot draws."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..config import DatasetConfig
from ..errors import UserError
from ..files import read_json, write_json

PARTS = ("train", "val", "test")
IMAGE_ENDINGS = {".jpg", ".jpeg", ".png"}  # compared in lower case; ImageNet's own is .JPEG


class Item(NamedTuple):
    """One image: its path below the image folder, its label, and the name of its class."""

    path: str
    label: int
    class_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Train, validation and test images of one data set."""

    train: list[Item]
    val: list[Item]
    test: list[Item]

    @property
    def labels(self) -> list[int]:
        """All labels, in order."""
        return sorted({item.label for part in PARTS for item in getattr(self, part)})

    @property
    def base_labels(self) -> list[int]:
        """The first ceil(n / 2) labels."""
        return self.labels[: base_count(len(self.labels))]

    @property
    def novel_labels(self) -> list[int]:
        """The labels behind the base labels."""
        return self.labels[base_count(len(self.labels)) :]

    def class_names(self, labels: list[int]) -> list[str]:
        """The names of some labels.  Two labels may share a name, as "crane" does in ImageNet."""
        names = {item.label: item.class_name for part in PARTS for item in getattr(self, part)}
        return [names[label] for label in labels]


def base_count(classes: int) -> int:
    """Number of base classes among `classes`: ceil(n / 2)."""
    return (classes + 1) // 2


def read_published(dataset: DatasetConfig, folder: Path) -> Split:
    """Read the split of a data set in `folder` (its own folder, below data_root) and check its form.

    Raises UserError if the file is malformed, a label is negative or has two names, or there are
    fewer than two classes.
    """
    readers: dict[str, Callable[[Path], Split]] = {
        "zhou": _read_zhou,
        "fgvc_aircraft": _read_fgvc_aircraft,
        "imagenet": _read_imagenet,
        "imagenet_variant": partial(_read_imagenet_variant, image_folder=folder / dataset.images),
    }
    path = split_file(dataset, folder)
    split = readers[dataset.split_format](path)
    _check_labels(split, path)
    return split


def split_file(dataset: DatasetConfig, folder: Path) -> Path:
    """The split file of a data set in `folder`.

    A variant of ImageNet without a copy of the class names takes ImageNet's own file, beside `folder`.
    """
    own = folder / dataset.split
    imagenets = folder.parent / "imagenet" / dataset.split
    borrows = dataset.split_format == "imagenet_variant" and not own.is_file() and imagenets.is_file()
    return imagenets if borrows else own


def read_split(path: Path) -> Split:
    """Read a split that `write_split` wrote."""
    split = _read_zhou(path)
    _check_labels(split, path)
    return split


def write_split(split: Split, path: Path) -> None:
    """Write a split in the published JSON format."""
    write_json(path, {part: [list(item) for item in getattr(split, part)] for part in PARTS})


def _read_zhou(path: Path) -> Split:
    content = read_json(path)
    try:
        parts = {part: [_item(row) for row in content.get(part, [])] for part in PARTS}
    except (AttributeError, TypeError, ValueError):
        raise UserError(
            f'{path} is not a split file: it must hold {{"train": [[path, label, class name], …], '
            '"val": …, "test": …}}.'
        ) from None
    return Split(**parts)


def _item(row: list) -> Item:
    path, label, class_name = row
    if not isinstance(path, str) or not isinstance(class_name, str):
        raise TypeError
    if type(label) is not int:
        raise TypeError
    return Item(path, label, class_name)


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


def _check_labels(split: Split, path: Path) -> None:
    names: dict[int, str] = {}
    for item in (item for part in PARTS for item in getattr(split, part)):
        if names.setdefault(item.label, item.class_name) != item.class_name:
            raise UserError(
                f"{path}: label {item.label} is called both {names[item.label]!r} and "
                f"{item.class_name!r}; give each label one class name."
            )
    if len(names) < 2:
        raise UserError(f"{path} has {len(names)} class(es); a split needs at least 2.")
    if min(names) < 0:
        raise UserError(f"{path} has the label {min(names)}; labels count from 0.")


def check_files(split: Split, image_folder: Path) -> None:
    """UserError if a path leaves the image folder or an image is not there."""
    missing = []
    for item in (item for part in PARTS for item in getattr(split, part)):
        path = PurePosixPath(item.path)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"The split names {item.path!r}, which lies outside {image_folder}.")
        if not (image_folder / path).is_file():
            missing.append(item.path)
    if missing:
        others = f" and {len(missing) - 1} other images" if len(missing) > 1 else ""
        raise UserError(
            f"The split names {missing[0]!r}{others}, not found in {image_folder}: "
            "complete the data set's folder, or mend the split file."
        )


def draw_few_shot(split: Split, shots: int, seed: int) -> Split:
    """The published few-shot draw: `shots` training and min(shots, 4) validation images a class.

    One Python `random` generator, seeded with `seed`, serves the train list first and the val list
    after it; classes come in the order in which they first appear (as CoOp's published code draws).
    A class with fewer images gives all of them.
    """
    generator = random.Random(seed)
    train = _sample_per_class(split.train, shots, generator)
    val = _sample_per_class(split.val, min(shots, 4), generator)
    return Split(train=train, val=val, test=[])


def validation_images(split: Split, draw: Split, shots: int, seed: int) -> list[Item]:
    """The draw's validation images; where the split has none, training images that were not drawn.

    These are min(shots, 4) a class, or as many as are left (our choice: ImageNet's published validation
    set is the test set).
    """
    if split.val:
        return draw.val
    drawn = {item.path for item in draw.train}
    left = [item for item in split.train if item.path not in drawn]
    return _sample_per_class(left, min(shots, 4), random.Random(seed))


def _sample_per_class(items: Iterable[Item], count: int, generator: random.Random) -> list[Item]:
    of_label: dict[int, list[Item]] = {}
    for item in items:
        of_label.setdefault(item.label, []).append(item)
    drawn: list[Item] = []
    for candidates in of_label.values():
        few = len(candidates) < count
        drawn.extend(candidates if few else generator.sample(candidates, count))
    return drawn


def write_draw(draw: Split, path: Path) -> None:
    """Write a few-shot draw: its train and val images in the published format."""
    write_json(path, {"train": [list(i) for i in draw.train], "val": [list(i) for i in draw.val]})


def read_draw(path: Path) -> Split:
    """Read a few-shot draw that `write_draw` wrote."""
    return _read_zhou(path)


def select_and_relabel(items: list[Item], labels: list[int]) -> list[Item]:
    """The items with one of the given labels, relabelled 0, 1, … by their place in `labels`."""
    place = {label: number for number, label in enumerate(labels)}
    return [item._replace(label=place[item.label]) for item in items if item.label in place]
