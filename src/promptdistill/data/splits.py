"""Splits in the published format, their base and novel halves, and few-shot draws."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..config import DatasetConfig
from ..errors import UserError
from ..files import read_json, write_json

PARTS = ("train", "val", "test")


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
    readers = {"zhou": _read_zhou, "fgvc_aircraft": _read_fgvc_aircraft, "imagenet": _read_imagenet}
    split = readers[dataset.split_format](folder / dataset.split)
    _check_labels(split, folder / dataset.split)
    return split


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
            f'{path} is no split file: it must hold {{"train": [[path, label, class name], …], '
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


def _read_imagenet(path: Path) -> Split:
    """classnames.txt ("n01440764 tench") and images/{train,val}/<WordNet id>; val is the test set."""
    names = dict(line.split(" ", 1) for line in _lines(path))
    label_of = {wordnet_id: label for label, wordnet_id in enumerate(sorted(names))}

    def listed(part: str) -> list[Item]:
        folder = path.parent / "images" / part
        found = sorted(file for id_ in label_of for file in (folder / id_).glob("*.JPEG"))
        return [
            Item(
                f"{part}/{file.parent.name}/{file.name}", label_of[file.parent.name], names[file.parent.name]
            )
            for file in found
        ]

    return Split(train=listed("train"), val=[], test=listed("val"))


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


def of_labels(items: list[Item], labels: list[int]) -> list[Item]:
    """The items with one of the given labels, relabelled 0, 1, … by their place in `labels`."""
    place = {label: number for number, label in enumerate(labels)}
    return [item._replace(label=place[item.label]) for item in items if item.label in place]
