"""What is doubtful about a data set whose files are all there: said, or refused if the user is strict."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

from ..config.entries import DatasetConfig
from ..files import sha256
from .splits import PARTS, Item, Split

_TAIL = 1024  # bytes at the end of a file, by which most files of one size differ
_NAMED = 3  # names that a sentence gives


def findings(dataset: DatasetConfig, split: Split, image_folder: Path) -> list[str]:
    """A sentence for each kind of doubt, without a full stop; none for most data sets.

    Classes that lack images, or share a name; images (by content) in two parts, twice in a part, or
    under two labels.
    """
    return [*_of_classes(dataset, split), *_of_images(split, image_folder)]


def _of_classes(dataset: DatasetConfig, split: Split) -> list[str]:
    found, labels = [], split.labels
    if dataset.classes not in (None, len(labels)):
        found.append(f"it has {len(labels)} classes, where {dataset.classes} are published")
    names = dict(zip(labels, split.class_names(labels), strict=True))
    for part, what in (("train", "training"), ("test", "test")):
        having = {item.label for item in getattr(split, part)}
        if lacking := [names[label] for label in labels if having and label not in having]:
            found.append(_sentence(len(lacking), "class", f"without {what} images", lacking))
    spoken = Counter(name.replace("_", " ") for name in names.values())
    if shared := [name for name, count in spoken.items() if count > 1]:
        found.append(_sentence(len(shared), "class name", "given to several labels", shared))
    return found


def _of_images(split: Split, image_folder: Path) -> list[str]:
    uses: dict[str, list[tuple[str, Item]]] = {}
    for part in PARTS:
        for item in getattr(split, part):
            uses.setdefault(item.path, []).append((part, item))
    doubts: dict[str, list[str]] = {}
    for paths in _of_one_content(list(uses), image_folder):
        same = [use for path in paths for use in uses[path]]
        name = " = ".join(dict.fromkeys(item.path for _, item in same[:_NAMED]))
        counts = Counter(part for part, _ in same)
        parts = [part for part in PARTS if counts[part]]
        if len(parts) > 1:
            doubts.setdefault(f"in {' and in '.join(parts)}", []).append(name)
        for part in (part for part in parts if counts[part] > 1):
            doubts.setdefault(f"more than once in {part}", []).append(name)
        if len({item.label for _, item in same}) > 1:
            doubts.setdefault("under several labels", []).append(name)
    return [_sentence(len(names), "image", where, names) for where, names in sorted(doubts.items())]


def _of_one_content(paths: list[str], folder: Path) -> list[list[str]]:
    """The paths in groups of equal content; whole files are read only where size and end are equal."""

    def size(path: str) -> int:
        return (folder / path).stat().st_size

    def end(path: str) -> bytes:
        with (folder / path).open("rb") as stream:
            stream.seek(max(0, size(path) - _TAIL))
            return stream.read()

    def content(path: str) -> str:
        return sha256(folder / path)

    groups = [paths]
    for key in (size, end, content):
        groups = [same for group in groups for same in (_grouped(group, key) if len(group) > 1 else [group])]
    return groups


def _grouped(paths: Iterable[str], key: Callable[[str], Hashable]) -> list[list[str]]:
    groups: dict[Hashable, list[str]] = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return list(groups.values())


def _sentence(count: int, what: str, where: str, names: list[str]) -> str:
    plural = what if count == 1 else f"{what}es" if what.endswith("s") else f"{what}s"
    named = ", ".join(names[:_NAMED])
    return f"{count} {plural} {where} ({named}{', …' if count > _NAMED else ''})"
