"""Splits: the published draws, the halves, and what is refused."""

import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptdistill.config.entries import DatasetConfig
from promptdistill.data import splits
from promptdistill.data.published import read_published
from promptdistill.data.splits import Item, Split
from promptdistill.errors import UserError


def dataset(**own):
    return DatasetConfig(**{"folder": "x", "split": "split.json", "template": "a photo of a {}.", **own})


@st.composite
def random_splits(draw):
    """Splits of 2 to 7 classes with 1 to 9 training images each, in any order."""
    classes = draw(st.integers(2, 7))
    items = [
        Item(f"{label}/{number}.jpg", label, f"class {label}")
        for label in range(classes)
        for number in range(draw(st.integers(1, 9)))
    ]
    random.Random(draw(st.integers(0, 9))).shuffle(items)
    return Split(train=items, val=items[::2], test=items[::3])


@given(split=random_splits(), shots=st.integers(1, 6), seed=st.integers(0, 5))
def test_draw_properties(split, shots, seed):
    """Each class gives min(shots, all) of its images, val min(shots, 4), and a seed says which."""
    few = splits.draw_few_shot(split, shots, seed)
    assert few == splits.draw_few_shot(split, shots, seed)
    for part, count in (("train", shots), ("val", min(shots, 4))):
        drawn, whole = getattr(few, part), getattr(split, part)
        assert set(drawn) <= set(whole)
        assert len(set(drawn)) == len(drawn)
        for label in split.labels:
            available = sum(item.label == label for item in whole)
            assert sum(item.label == label for item in drawn) == min(count, available)


def test_draw_by_hand():
    """Classes in order of first appearance, one generator for train and then val."""
    items = [Item(f"{i}.jpg", label, "ab"[label]) for i, label in enumerate([1, 0, 1, 0, 1, 0, 1])]
    generator = random.Random(3)
    train = [
        *generator.sample([items[i] for i in (0, 2, 4, 6)], 2),
        *generator.sample([items[i] for i in (1, 3, 5)], 2),
    ]
    val = [
        *generator.sample([items[i] for i in (0, 2, 4, 6)], 2),
        *generator.sample([items[i] for i in (1, 3, 5)], 2),
    ]
    few = splits.draw_few_shot(Split(train=items, val=items, test=[]), 2, 3)
    assert (few.train, few.val) == (train, val)


@pytest.mark.parametrize(
    ("recorded", "published", "shots", "seed"),
    [
        ("dtd-1shot-seed3", "split_zhou_DescribableTextures", 1, 3),
        ("eurosat-16shot-seed1", "split_zhou_EuroSAT", 16, 1),
        ("oxford_pets-4shot-seed2", "split_zhou_OxfordPets", 4, 2),
    ],
)
def test_published_draws(shared, recorded, published, shots, seed):
    """Image by image, the recorded draws of the published code."""
    expected = json.loads((shared / f"published/fewshot/{recorded}.json").read_text())
    whole = read_published(dataset(split=f"{published}.json"), shared / "splits")
    few = splits.draw_few_shot(whole, shots, seed)
    for part in ("train", "val"):
        drawn = [[item.path, item.label] for item in getattr(few, part)]
        assert drawn == [row[:2] for row in expected[part]]


@given(st.integers(0, 6), st.integers(1, 8), st.integers(0, 99))
def test_validation_images_where_a_split_has_none(per_class, shots, seed):
    """Training images that were not drawn: min(shots, 4) a class, or as many as are left."""
    items = [Item(f"{label}_{n}.png", label, str(label)) for label in range(3) for n in range(per_class)]
    split = Split(train=items, val=[], test=items)
    draw = splits.draw_few_shot(split, shots, seed)
    found = splits.validation_images(split, draw, shots, seed)
    assert not {item.path for item in found} & {item.path for item in draw.train}
    expected = min(shots, 4, max(0, per_class - shots))
    assert [sum(item.label == label for item in found) for label in range(3)] == [expected] * 3


def test_validation_images_of_the_draw():
    items = [Item(f"{n}.png", n % 2, str(n % 2)) for n in range(8)]
    split = Split(train=items, val=items, test=items)
    draw = splits.draw_few_shot(split, 2, 1)
    assert splits.validation_images(split, draw, 2, 1) == draw.val


@given(split=random_splits())
def test_halves_partition_the_labels(split):
    base, novel = split.base_labels, split.novel_labels
    assert base + novel == split.labels
    assert len(base) - len(novel) in (0, 1)
    for labels in (base, novel):
        kept = splits.select_and_relabel(split.test, labels)
        assert {item.label for item in kept} <= set(range(len(labels)))
        assert [split.class_names(labels)[item.label] for item in kept] == [i.class_name for i in kept]


@given(split=random_splits())
def test_write_and_read(split, tmp_path_factory):
    path = tmp_path_factory.mktemp("split") / "split.json"
    splits.write_split(split, path, {"dataset": "own", "inputs": {}})
    assert splits.read_split(path) == split


def test_labels_with_the_same_name_stay_apart():
    """ImageNet has two labels called "crane"."""
    items = [Item(f"{label}.jpg", label, name) for label, name in enumerate(["crane", "a", "crane", "b"])]
    split = Split(train=items, val=[], test=items)
    assert split.class_names(split.novel_labels) == ["crane", "b"]
    assert splits.select_and_relabel(items, split.novel_labels) == [
        Item("2.jpg", 0, "crane"),
        Item("3.jpg", 1, "b"),
    ]


ROW = ["a.jpg", 0, "a"]
OTHER = ["b.jpg", 1, "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 10**5, "is not valid JSON \\(it is nested too deeply\\)"),
        ('{"train": [["a.jpg", ' + "9" * 5000 + ', "a"]]}', "is not valid JSON \\(Exceeds the limit"),
        ('{"train": [["\\ud800", 0, "a"]]}', "is not valid JSON \\(it holds half a surrogate pair\\)"),
        ("[]", "is not a split file: it must hold"),
        (json.dumps({"train": [["a.jpg", 0]]}), "is not a split file: it must hold"),
        (json.dumps({"train": [["a.jpg", "0", "a"]]}), "is not a split file: it must hold"),
        (json.dumps({"train": [ROW]}), "has 1 class\\(es\\); a split needs at least 2"),
        (json.dumps({"train": [ROW, ["b.jpg", 0, "b"]]}), "label 0 is called both 'a' and 'b'"),
        (json.dumps({"train": [ROW, ["b.jpg", -1, "b"]]}), "has the label -1"),
    ],
)
def test_bad_split_files(tmp_path, content, message):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_published(dataset(), tmp_path)


def test_missing_split_file(tmp_path):
    with pytest.raises(UserError, match=r"split\.json does not exist"):
        read_published(dataset(), tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone.jpg", "names 'gone.jpg', not found in"),
        ("../a.jpg", "which lies outside"),
        ("/etc/hostname", "which lies outside"),
    ],
)
def test_split_that_names_a_wrong_file(tmp_path, path, message):
    (tmp_path / "a.jpg").touch()
    split = Split(train=[Item("a.jpg", 0, "a"), Item(path, 1, "b")], val=[], test=[])
    with pytest.raises(UserError, match=message):
        splits.check_files(split, tmp_path)


def test_fgvc_aircraft_lists(tmp_path):
    (tmp_path / "variants.txt").write_text("707-320\n727-200\n")
    for part in splits.PARTS:
        (tmp_path / f"images_variant_{part}.txt").write_text("000001 727-200\n000002 707-320\n")
    entry = dataset(split="images_variant_train.txt", split_format="fgvc_aircraft")
    split = read_published(entry, tmp_path)
    assert split.train == [Item("000001.jpg", 1, "727-200"), Item("000002.jpg", 0, "707-320")]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("variants.txt", "707-320\n", r"images_variant_train\.txt: '727-200', of image 1, is no variant of "),
        ("variants.txt", "707-320\n727-200\n707-320\n", r"variants\.txt holds '707-320' twice"),
        (
            "images_variant_val.txt",
            "1\n",
            r"images_variant_val\.txt: each line must hold an image and its var",
        ),
        ("images_variant_test.txt", "", "names no test images"),
        (
            "images_variant_test.txt",
            b"1 707\xff",
            r"images_variant_test\.txt is not UTF-8 text \(at byte 5\)",
        ),
        ("images_variant_test.txt", b"1 707\0", r"images_variant_test\.txt is not a text file"),
        ("images_variant_test.txt", None, r"images_variant_test\.txt does not exist"),
    ],
)
def test_fgvc_lists_that_do_not_fit_together(tmp_path, file, content, message):
    (tmp_path / "variants.txt").write_text("707-320\n727-200\n", encoding="utf-8-sig")
    for part in splits.PARTS:
        listed = "1 727-200\n2 707-320\n"
        (tmp_path / f"images_variant_{part}.txt").write_text(listed, encoding="utf-8-sig")
    entry = dataset(split="images_variant_train.txt", split_format="fgvc_aircraft")
    assert read_published(entry, tmp_path).train[0] == Item("1.jpg", 1, "727-200")
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        read_published(entry, tmp_path)


def test_an_imagenet_whose_validation_images_lie_flat(tmp_path):
    (tmp_path / "classnames.txt").write_text("n02 great white shark\nn01 tench\n")
    for path in ("train/n01/1.JPEG", "train/n02/1.JPEG", "val/ILSVRC2012_val_00000001.JPEG"):
        (tmp_path / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / path).touch()
    entry = dataset(split="classnames.txt", split_format="imagenet")
    with pytest.raises(UserError, match=r"images/val has no images in folders .* sort them into one folder"):
        read_published(entry, tmp_path)


def test_a_wordnet_id_twice(tmp_path):
    (tmp_path / "classnames.txt").write_text("n01 tench\nn02 shark\nn01 goldfish\n")
    with pytest.raises(UserError, match=r"classnames\.txt holds 'n01' twice"):
        read_published(dataset(split="classnames.txt", split_format="imagenet"), tmp_path)


def test_many_classes_cost_what_they_weigh():
    """Labels are found once, not once a class: 20,000 classes in a second instead of minutes."""
    items = [Item(f"{n}.jpg", n % 20_000, str(n % 20_000)) for n in range(200_000)]
    split = Split(train=items, val=[], test=[])
    start = time.perf_counter()
    for _ in range(1000):
        assert len(split.labels) == 20_000
    assert time.perf_counter() - start < 5


def test_imagenet_folders(tmp_path):
    (tmp_path / "classnames.txt").write_text("n02 great white shark\nn01 tench\n")
    for part in ("train", "val"):
        for wordnet_id in ("n01", "n02"):
            folder = tmp_path / "images" / part / wordnet_id
            folder.mkdir(parents=True)
            (folder / f"{wordnet_id}_1.JPEG").touch()
    entry = dataset(split="classnames.txt", split_format="imagenet")
    split = read_published(entry, tmp_path)
    assert split.train == [
        Item("train/n01/n01_1.JPEG", 0, "tench"),
        Item("train/n02/n02_1.JPEG", 1, "great white shark"),
    ]
    assert [item.path for item in split.test] == ["val/n01/n01_1.JPEG", "val/n02/n02_1.JPEG"]
    assert split.val == []


@pytest.mark.parametrize("name", ["EuroSAT", "OxfordPets", "Caltech101", "StanfordCars", "UCF101"])
def test_published_splits_have_the_documented_sizes(shared, name, request):
    from promptdistill.config.entries import load_dataset
    from promptdistill.validation import known_names

    config_dir = request.config.rootpath / "config"
    file = f"split_zhou_{name}.json"
    entry = next(
        entry
        for entry in (load_dataset(n, config_dir) for n in known_names(config_dir / "datasets"))
        if entry.split == file
    )
    split = read_published(entry, shared / "splits")
    assert len(split.labels) == entry.classes
    assert {part: len(getattr(split, part)) for part in splits.PARTS} == entry.sizes
