"""Which classes a protocol trains on, and which images it tests against which classes."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptdistill.data.splits import Item, Split
from promptdistill.protocols import PROTOCOLS

NAMES = ["base_to_novel", "few_shot", "transfer"]


def trained(split, protocol):
    """The labels that a protocol of one session trains on, which are also the classes that it knows."""
    (session,) = PROTOCOLS[protocol].sessions(split, None)
    assert session.labels == session.classes
    return session.labels


def subsets_of(split, protocol):
    return PROTOCOLS[protocol].subsets(split, None)


def items_of(labels, part, images=2):
    return [
        Item(f"{part}/{label}/{n}.jpg", label, f"class {label}") for label in labels for n in range(images)
    ]


def split_of(labels):
    return Split(train=items_of(labels, "train"), val=items_of(labels, "val"), test=items_of(labels, "test"))


@st.composite
def sparse_splits(draw):
    """Splits whose labels have gaps, whose images are shuffled; not every class has training images."""
    labels = draw(st.lists(st.integers(0, 999), min_size=2, max_size=12, unique=True))
    shuffle = random.Random(draw(st.integers(0, 9))).shuffle
    test = items_of(labels, "test", images=draw(st.integers(1, 3)))
    train = items_of(draw(st.lists(st.sampled_from(labels), unique=True)), "train")
    shuffle(test)
    shuffle(train)
    return Split(train=train, val=[], test=test)


@pytest.mark.parametrize(
    ("labels", "base", "novel"),
    [
        ([0, 1], [0], [1]),
        ([0, 1, 2], [0, 1], [2]),
        ([0, 1, 2, 3], [0, 1], [2, 3]),
        ([0, 1, 2, 3, 4], [0, 1, 2], [3, 4]),
        ([7, 40, 3, 900, 12], [3, 7, 12], [40, 900]),
    ],
)
def test_halves(labels, base, novel):
    """The base half gets the middle class of an odd number; labels count by their order, not their value."""
    split = split_of(labels)
    assert trained(split, "base_to_novel") == base
    subsets = subsets_of(split, "base_to_novel")
    assert [subset.name for subset in subsets] == ["base", "novel"]
    for subset, half in zip(subsets, (base, novel), strict=True):
        assert subset.class_names == [f"class {label}" for label in half]
        assert {item.class_name for item in subset.items} == set(subset.class_names)


@pytest.mark.parametrize("protocol", ["few_shot", "transfer"])
def test_all_classes(protocol):
    split = split_of([5, 2, 9])
    assert trained(split, protocol) == [2, 5, 9]
    (subset,) = subsets_of(split, protocol)
    assert subset.name == "all"
    assert subset.class_names == ["class 2", "class 5", "class 9"]
    assert [item.label for item in subset.items] == [1, 1, 0, 0, 2, 2]


@given(split=sparse_splits())
def test_halves_partition_the_classes(split):
    base, novel = subsets_of(split, "base_to_novel")
    labels = sorted({item.label for item in split.train + split.test})
    assert len(base.class_names) == math.ceil(len(labels) / 2)
    assert base.class_names + novel.class_names == [f"class {label}" for label in labels]
    assert split.class_names(trained(split, "base_to_novel")) == base.class_names
    paths = [item.path for subset in (base, novel) for item in subset.items]
    assert sorted(paths) == sorted(item.path for item in split.test)


@given(split=sparse_splits(), protocol=st.sampled_from(NAMES))
def test_relabelling_goes_both_ways(split, protocol):
    """A relabelled image, with its subset's classes, is the image that it was; the order stays."""
    label_of = {name: label for label, name in enumerate(f"class {n}" for n in range(1000))}
    for subset in subsets_of(split, protocol):
        names = subset.class_names
        assert len(set(names)) == len(names)
        back = [item._replace(label=label_of[names[item.label]]) for item in subset.items]
        assert back == [item for item in split.test if item.class_name in names]


@given(split=sparse_splits())
def test_a_training_on_all_classes_covers_what_it_tests(split):
    for protocol in ("few_shot", "transfer"):
        (subset,) = subsets_of(split, protocol)
        assert split.class_names(trained(split, protocol)) == subset.class_names


def test_a_variant_with_fewer_classes_has_a_label_set_of_its_own():
    """As ImageNet-A: 200 of ImageNet's 1000 labels, test images only."""
    labels = [*range(6, 996, 5), 998, 999]
    split = Split(train=[], val=[], test=items_of(labels, "test", images=1))
    (subset,) = subsets_of(split, "transfer")
    assert len(subset.class_names) == 200
    assert subset.class_names[0] == "class 6"
    assert subset.class_names[-1] == "class 999"
    assert [item.label for item in subset.items] == list(range(200))
    for item in subset.items:
        assert subset.class_names[item.label] == item.class_name
    assert [item.label for item in split.test] == labels  # the split itself stays
