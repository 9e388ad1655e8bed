"""What a protocol trains on and what it tests: classes and images of a split.

base_to_novel trains on the base classes and tests base and novel classes apart; few_shot and transfer
train on all classes and test all classes, transfer on other data sets than it trained on.
"""

from dataclasses import dataclass

from ..config import Training
from .splits import Item, Split, select_and_relabel


@dataclass(frozen=True, kw_only=True, slots=True)
class Subset:
    """Test images with a label set of their own; labels count in `class_names`."""

    name: str
    class_names: list[str]
    items: list[Item]


CLASSES = {"base": "the base classes", "novel": "the novel classes", "all": "any class"}  # in sentences


def training_labels(split: Split, protocol: Training) -> list[int]:
    """The labels whose few-shot images a protocol trains on."""
    return split.base_labels if protocol == "base_to_novel" else split.labels


def test_subsets(split: Split, protocol: Training) -> list[Subset]:
    """The test images of a protocol: the base and the novel ones, or all, each against its own classes."""
    halves = {"base": split.base_labels, "novel": split.novel_labels}
    parts = halves if protocol == "base_to_novel" else {"all": split.labels}
    return [
        Subset(name=name, class_names=split.class_names(labels), items=select_and_relabel(split.test, labels))
        for name, labels in parts.items()
    ]
