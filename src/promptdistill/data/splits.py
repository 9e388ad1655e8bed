"""Splits, their base and novel halves, and few-shot draws."""

import random
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..artifacts import KEY, read_sealed, write_sealed
from ..errors import UserError
from ..files import read_json
from ..validation import did_you_mean

PARTS = ("train", "val", "test")
LARGEST_LABEL = 2**31 - 1


class Item(NamedTuple):
    """One image: its path below the image folder, its label, and the name of its class."""

    path: str
    label: int
    class_name: str


_ITEMS = TypeAdapter(list[Item], config=ConfigDict(strict=True))


@dataclass(frozen=True, kw_only=True)
class Split:
    """Train, validation and test images of one data set."""

    train: list[Item]
    val: list[Item]
    test: list[Item]

    @property
    def items(self) -> list[Item]:
        """All images."""
        return [*self.train, *self.val, *self.test]

    @cached_property
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
    """Read the published JSON format; UserError if the file is something else.

    Names of classes are composed (Unicode's NFC), so that two that look alike are alike.
    """
    return _split(read_json(path), path)


def _split(content: Any, path: Path) -> Split:
    if isinstance(content, dict):
        for key in content.keys() - {*PARTS, KEY}:
            raise UserError(f"{path} has the unknown key {key!r}{did_you_mean(key, list(PARTS))}.")
    try:
        parts = {part: _ITEMS.validate_python(content.get(part, [])) for part in PARTS}
    except (AttributeError, ValidationError):
        raise UserError(
            f'{path} is not a split file: it must hold {{"train": [[path, label, class name], …], '
            '"val": …, "test": …}}.'
        ) from None
    return Split(**{part: [_composed(item) for item in items] for part, items in parts.items()})


def _composed(item: Item) -> Item:
    name = item.class_name
    return item if name.isascii() else item._replace(class_name=unicodedata.normalize("NFC", name))


def check_labels(split: Split, path: Path) -> None:
    """UserError if labels and names of classes do not fit together, or there are fewer than two classes."""
    names: dict[int, str] = {}
    for item in split.items:
        if names.setdefault(item.label, item.class_name) != item.class_name:
            raise UserError(
                f"{path}: label {item.label} is called both {names[item.label]!r} and "
                f"{item.class_name!r}; give each label one class name."
            )
    if len(names) < 2:
        raise UserError(f"{path} has {len(names)} class(es); a split needs at least 2.")
    for label in (min(names), max(names)):
        if not 0 <= label <= LARGEST_LABEL:
            raise UserError(f"{path} has the label {str(label)[:20]}; labels count from 0.")
    for label, name in names.items():
        if not name.strip(" _\t\n"):
            raise UserError(f"{path}: label {label} has an empty class name; give it one.")
    if len(set(names.values())) == 1:
        raise UserError(
            f"{path} calls all {len(names)} classes {names[min(names)]!r}; give each its own name."
        )


def check_files(split: Split, image_folder: Path) -> Split:
    """The split with its paths as they are spelt on disk: a name may be there in another form of Unicode.

    UserError if a path leaves the image folder or an image is not there.
    """
    spelt, missing = {}, []
    names_in = lru_cache(maxsize=1000)(_names_in)
    for item in split.items:
        path = PurePosixPath(item.path)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"The split names {item.path!r}, which lies outside {image_folder}.")
        if not _is_file(image_folder / path):
            found = not item.path.isascii() and _on_disk(path, image_folder, _in_nfc, names_in)
            if found:
                spelt[item.path] = found
            else:
                missing.append(item.path)
    if missing:
        others = f" and {len(missing) - 1} other images" if len(missing) > 1 else ""
        near = _on_disk(PurePosixPath(missing[0]), image_folder, _in_lower_case, names_in)
        hint = f" (but {near!r} is there: case counts)" if near else ""
        raise UserError(
            f"The split names {missing[0]!r}{others}, not found in {image_folder}{hint}: "
            "complete the data set's folder, or mend the split file."
        )
    if not spelt:
        return split
    parts = {part: getattr(split, part) for part in PARTS}
    return Split(
        **{
            part: [item._replace(path=spelt.get(item.path, item.path)) for item in items]
            for part, items in parts.items()
        }
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for the disk, or with a null in it
        return False


def _in_nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _in_lower_case(name: str) -> str:
    return _in_nfc(name).casefold()


def _names_in(folder: Path, form: Callable[[str], str]) -> dict[str, str]:
    return {form(entry.name): entry.name for entry in folder.iterdir()} if folder.is_dir() else {}


def _on_disk(path: PurePosixPath, folder: Path, form: Callable[[str], str], names_in: Callable) -> str | None:
    """The path below `folder` that has the same `form`; None if there is none."""
    found = PurePosixPath()
    for part in path.parts:
        name = names_in(folder / found, form).get(form(part))
        if name is None:
            return None
        found /= name
    return str(found) if (folder / found).is_file() else None


def missing_image(path: Path) -> UserError:
    """What to say of an image that is not there."""
    return UserError(f"The image {path} does not exist: complete the data set's folder.")


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
