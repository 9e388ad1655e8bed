"""ImageNet's variants: their layouts on disk, their labels and names, and where the names come from."""

import io
import random
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from promptdistill.config.entries import DatasetConfig, load_dataset
from promptdistill.data import splits
from promptdistill.data.download import fetch
from promptdistill.data.published import read_published, split_file
from promptdistill.data.splits import Item, Split
from promptdistill.errors import UserError

CONFIG = Path(__file__).parents[2] / "config"
NAMES = {f"n{number:08}": f"animal {number}" for number in range(100, 112)}  # 12 classes, so 10 is there
NAMES["n00000103"] = NAMES["n00000109"] = "crane"
IDS = list(NAMES)
LABELS = [str(label) for label in range(len(IDS))]


def class_list(names):
    """A classnames.txt; neither the order nor the end of its lines may matter."""
    lines = [f"{id_} {name}\r\n" for id_, name in names.items()]
    random.Random(0).shuffle(lines)
    return "".join(lines).encode()


def picture():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def place(root, *paths):
    """Put a real picture at each path below `root`."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(picture())


def entry(**own):
    fields = {"folder": "v", "images": "images", "split": "classnames.txt", "template": "a photo of a {}."}
    return DatasetConfig(**fields, split_format="imagenet_variant", **own)


# Of each variant: names of two class folders, of which the first is label 2 and the second is
# label 10, an image's name, and where its archive's images lie.
VARIANTS = {
    "imagenetv2": (LABELS[2], LABELS[10], "fb2a.jpeg", "./imagenetv2-matched-frequency-format-val"),
    "imagenet_sketch": (IDS[2], IDS[10], "sketch_0.JPEG", "sketch"),
    "imagenet_a": (IDS[2], IDS[10], "0.000116_digital clock _ digital clock_0.865662.jpg", "imagenet-a"),
    "imagenet_r": (IDS[2], IDS[10], "art_0.jpg", "imagenet-r"),
}
FOLDERS = {  # as the published code has them
    "imagenetv2": "imagenetv2/imagenetv2-matched-frequency-format-val",
    "imagenet_sketch": "imagenet-sketch/images",
    "imagenet_a": "imagenet-adversarial/imagenet-a",
    "imagenet_r": "imagenet-rendition/imagenet-r",
}


def assert_read(name, data_root):
    """The variant in `data_root` has two classes, ImageNet's labels, and pictures that open."""
    dataset = load_dataset(name, CONFIG)
    split = read_published(dataset, data_root / dataset.folder)
    first, second, image, _ = VARIANTS[name]
    assert split == Split(
        train=[],
        val=[],
        test=[Item(f"{first}/{image}", 2, "animal 102"), Item(f"{second}/{image}", 10, "animal 110")],
    )
    assert split.labels == [2, 10]
    assert [item.label for item in splits.select_and_relabel(split.test, split.labels)] == [0, 1]
    image_folder = data_root / dataset.folder / dataset.images
    splits.check_files(split, image_folder)
    for item in split.test:
        assert Image.open(image_folder / item.path).size == (6, 4)


@pytest.mark.parametrize("own_copy", [True, False])
@pytest.mark.parametrize("name", VARIANTS)
def test_published_layouts(tmp_path, name, own_copy):
    """Class names come from the variant's folder, else from ImageNet's."""
    first, second, image, _ = VARIANTS[name]
    folder = tmp_path / FOLDERS[name]
    place(folder, f"{second}/{image}", f"{first}/{image}")
    (folder / "README.txt").write_text("hello")
    (folder / ".cache").mkdir()
    place(folder, f"{first}/._{image}")
    (folder / first / "list.txt").write_text(image)
    place(tmp_path, "imagenet/images/val/n00000100/1.JPEG")
    imagenets = class_list(dict.fromkeys(IDS, "of ImageNet") if own_copy else NAMES)
    (tmp_path / "imagenet/classnames.txt").write_bytes(imagenets)
    if own_copy:
        (folder.parent / "classnames.txt").write_bytes(class_list(NAMES))
    assert_read(name, tmp_path)


def archive(path, files):
    """A zip or tar file, as the ending of `path` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        return
    with tarfile.open(path, "w") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("name", VARIANTS)
def test_downloads_lead_to_the_published_layout(tmp_path, name):
    """Archives that were downloaded already are unpacked to where the published code looks."""
    dataset = load_dataset(name, CONFIG)
    names, images = (s.model_copy(update={"hash": None, "size": None}) for s in dataset.sources)
    first, second, image, inside = VARIANTS[name]
    files = {f"{inside}/{first}/{image}": picture(), f"{inside}/{second}/{image}": picture()}
    archive(tmp_path / ".downloads" / name / images.name, files)
    (tmp_path / ".downloads" / name / names.name).write_bytes(class_list(NAMES))
    fetch(name, dataset.model_copy(update={"sources": [names, images]}), tmp_path)
    assert (tmp_path / FOLDERS[name] / first / image).is_file()
    assert_read(name, tmp_path)


@pytest.mark.parametrize("name", VARIANTS)
def test_entries_state_hash_and_size_of_the_images(name):
    names, images = load_dataset(name, CONFIG).sources
    assert names.name == "classnames.txt"
    assert images.hash.startswith("sha256:")
    assert images.size > 0


@given(subset=st.sets(st.sampled_from(range(len(IDS))), min_size=2), by_label=st.booleans())
def test_any_subset_of_classes_keeps_its_labels_and_names(subset, by_label):
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "v"
        for label in subset:
            place(folder / "images", f"{LABELS[label] if by_label else IDS[label]}/1.jpg")
        (folder / "classnames.txt").write_bytes(class_list(NAMES))
        split = read_published(entry(), folder)
    assert split.labels == sorted(subset)
    assert [item.label for item in split.test] == sorted(subset)
    assert split.class_names(split.labels) == [NAMES[IDS[label]] for label in sorted(subset)]
    assert [i.label for i in splits.select_and_relabel(split.test, split.labels)] == list(range(len(subset)))


@given(order=st.permutations(["b.jpg", "a.JPEG", "c.png", "d.jpeg", "e.JPG", "f.PNG"]))
def test_all_usual_endings_in_one_order(order):
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "v"
        place(folder / "images", *(f"{label}/{name}" for label in ("10", "9") for name in order))
        (folder / "classnames.txt").write_bytes(class_list(NAMES))
        split = read_published(entry(), folder)
    assert [i.path for i in split.test] == [
        f"{label}/{name}" for label in ("9", "10") for name in sorted(order)
    ]


@pytest.mark.parametrize("stray", ["n99999999", "12", "01", "-1", "cats"])
def test_unknown_folders_are_refused(tmp_path, stray):
    place(tmp_path / "images", f"{IDS[0]}/1.jpg", f"{IDS[1]}/1.jpg", f"{stray}/1.jpg")
    (tmp_path / "classnames.txt").write_bytes(class_list(NAMES))
    with pytest.raises(UserError) as error:
        read_published(entry(), tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/images holds the folder {stray!r}, which is neither a WordNet id of "
        f"{tmp_path}/classnames.txt nor a label number (0 to 11): rename it, or move it elsewhere."
    )


@pytest.mark.parametrize("present", [None, "images/README.txt", f"images/{IDS[0]}/README.txt"])
def test_no_images_at_all(tmp_path, present):
    (tmp_path / "classnames.txt").write_bytes(class_list(NAMES))
    if present:
        (tmp_path / present).parent.mkdir(parents=True)
        (tmp_path / present).write_text("hello")
    with pytest.raises(UserError, match=r"images has no images: place there one folder a class"):
        read_published(entry(), tmp_path)


def test_no_class_names_anywhere(tmp_path):
    place(tmp_path / "v/images", f"{IDS[0]}/1.jpg", f"{IDS[1]}/1.jpg")
    with pytest.raises(UserError, match=r"v/classnames\.txt does not exist"):
        read_published(entry(), tmp_path / "v")


def test_a_class_without_a_name(tmp_path):
    (tmp_path / "classnames.txt").write_text("n00000100 tench\nn00000101\n")
    with pytest.raises(UserError, match="each line must hold a WordNet id and a name"):
        read_published(entry(), tmp_path)


def test_only_variants_borrow_imagenets_file(tmp_path):
    place(tmp_path, "imagenet/classnames.txt")
    borrowed = split_file(entry(), tmp_path / "v")
    assert borrowed == tmp_path / "imagenet/classnames.txt"
    other = entry().model_copy(update={"split_format": "imagenet"})
    assert split_file(other, tmp_path / "v") == tmp_path / "v/classnames.txt"


def test_with_the_published_class_names(shared, tmp_path):
    """ImageNet's two cranes stay apart, by id and by label number."""
    (tmp_path / "classnames.txt").write_bytes((shared / "splits/imagenet_classnames.txt").read_bytes())
    place(tmp_path / "images", "n02012849/1.jpg", "n03126707/1.jpg", "0/1.jpg", "999/1.jpg")
    split = read_published(entry(), tmp_path)
    assert split.labels == [0, 134, 517, 999]
    assert split.class_names(split.labels) == ["tench", "crane", "crane", "toilet tissue"]
