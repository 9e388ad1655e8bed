"""What is doubtful about a data set whose files are all there: said, or refused if the user is strict."""

from collections import Counter

from ..config.entries import DatasetConfig
from .splits import PARTS, Item, Split

_NAMED = 3  # names that a sentence gives


def findings(dataset: DatasetConfig, split: Split, contents: dict[str, str]) -> list[str]:
    """A sentence for each kind of doubt, without a full stop; none for most data sets.

    Classes that lack images, or share a name; images in two parts, twice in a part, or under two labels, by
    their `contents`: path -> hash.
    """
    return [*_of_classes(dataset, split), *_of_images(split, contents)]


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


def _of_images(split: Split, contents: dict[str, str]) -> list[str]:
    uses: dict[str, list[tuple[str, Item]]] = {}
    for part in PARTS:
        for item in getattr(split, part):
            uses.setdefault(contents[item.path], []).append((part, item))
    doubts: dict[str, list[str]] = {}
    for same in uses.values():
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


def _sentence(count: int, what: str, where: str, names: list[str]) -> str:
    plural = what if count == 1 else f"{what}es" if what.endswith("s") else f"{what}s"
    named = ", ".join(names[:_NAMED])
    return f"{count} {plural} {where} ({named}{', …' if count > _NAMED else ''})"
