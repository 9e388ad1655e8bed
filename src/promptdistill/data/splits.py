"""Splits, their base and novel halves, and few-shot draws."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..artifacts import KEY, read_sealed, write_sealed
from ..errors import UserError
from ..files import read_json

PARTS = ("train", "val", "test")


class Item(NamedTuple):
    """One image: its path below the image folder, its label, and the name of its class."""

    path: str
    label: int
    class_name: str


_ITEMS = TypeAdapter(list[Item], config=ConfigDict(strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Train, validation and test images of one data set."""

    train: list[Item]
    val: list[Item]
    test: list[Item]

    @property
    def items(self) -> list[Item]:
        """All images."""
        return [*self.train, *self.val, *self.test]

    @property
    def labels(self) -> list[int]:
        """All labels, in order."""
        return sorted({item.label for item in self.items})

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
        names = {item.label: item.class_name for item in self.items}
        return [names[label] for label in labels]


def base_count(classes: int) -> int:
    """Number of base classes among `classes`: ceil(n / 2)."""
    return (classes + 1) // 2


def read_split(path: Path) -> Split:
    """Read a split, or a draw, that `write_split` wrote; UserError if it was edited since."""
    return _split(read_sealed(path), path)


def write_split(split: Split, path: Path, header: dict[str, Any], parts: Sequence[str] = PARTS) -> None:
    """Write a split in the published JSON format, with one key more: what it was made from."""
    write_sealed(path, {**{part: getattr(split, part) for part in parts}, KEY: header})


def read_zhou(path: Path) -> Split:
    """Read the published JSON format; UserError if the file is something else."""
    return _split(read_json(path), path)


def _split(content: Any, path: Path) -> Split:
    try:
        return Split(**{part: _ITEMS.validate_python(content.get(part, [])) for part in PARTS})
    except (AttributeError, ValidationError):
        raise UserError(
            f'{path} is not a split file: it must hold {{"train": [[path, label, class name], …], '
            '"val": …, "test": …}}.'
        ) from None


def check_labels(split: Split, path: Path) -> None:
    """UserError if a label is negative or has two names, or there are fewer than two classes."""
    names: dict[int, str] = {}
    for item in split.items:
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
    for item in split.items:
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
        drawn += candidates if len(candidates) < count else generator.sample(candidates, count)
    return drawn


def write_draw(draw: Split, path: Path, header: dict[str, Any]) -> None:
    """Write a few-shot draw: its train and val images in the published format, and what it was made from."""
    write_split(draw, path, header, ("train", "val"))


def select_and_relabel(items: list[Item], labels: list[int]) -> list[Item]:
    """The items with one of the given labels, relabelled 0, 1, … by their index in `labels`."""
    index = {label: position for position, label in enumerate(labels)}
    return [item._replace(label=index[item.label]) for item in items if item.label in index]
