"""What is doubtful about a data set, in its receipt and its split; and what is refused before training."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from promptdistill.artifacts import KEY
from promptdistill.cli import main
from promptdistill.config.entries import DatasetConfig
from promptdistill.data.findings import findings
from promptdistill.data.receipt import contents_of
from promptdistill.data.splits import Item, Split, check_files, read_zhou
from promptdistill.evaluation.metrics import read_metrics

ROOT = Path(__file__).parents[2]
CLASSES = ["red ball", "blue cube", "green tree", "old car"]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A data set of four classes without any doubt: its split, as JSON."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config/methods", "config/methods")
    Path("config/datasets").mkdir()
    entry = {"folder": "own", "images": "images", "split": "split.json", "template": "a {}."}
    Path("config/datasets/own.yaml").write_text(yaml.dump(entry))
    Path("data/own/images").mkdir(parents=True)
    parts = {}
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("val", 1), ("test", 2)):
        parts[part] = []
        for label, name in enumerate(CLASSES):
            for number in range(count):
                path = f"{part}_{label}_{number}.png"
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(Path("data/own/images", path))
                parts[part].append([path, label, name])
    configure()
    return parts


def configure(**changes):
    backbone = {"model": "miniature-student", "pretrained": "miniature"}
    config = {
        "data_root": "data",
        "backbones": {"student": backbone, "teacher": backbone},
        "datasets": ["own"],
        "methods": ["zero_shot"],
        "protocols": {"base_to_novel": {"seeds": [1]}},
    }
    Path("my.yaml").write_text(yaml.dump(config | changes))


def write(parts, encoding="utf-8"):
    Path("data/own/split.json").write_text(json.dumps(parts, ensure_ascii=False), encoding=encoding)


def run(*arguments):
    """The output of a command, and whether it succeeded."""
    done = CliRunner().invoke(main, [*arguments, "--config", "my.yaml"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output, done.exit_code == 0


def made():
    """The receipt, and the split with its header."""
    for step in ("data", "split"):
        said, done = run(step, "own")
        assert done, said
    return json.loads(Path("results/data/own.json").read_text()), json.loads(
        Path("results/splits/own/split.json").read_text()
    )


def test_nothing_is_said_where_nothing_is_doubtful(own):
    configure(strict=True)
    write(own)
    receipt, split = made()
    assert "warnings" not in receipt
    assert set(split[KEY]) == {"dataset", "made", "inputs"}
    assert split["train"] == own["train"]


def doubled(parts):
    """Each kind of double, in four images of training; copies have names of their own."""
    train, images = parts["train"], Path("data/own/images")
    shutil.copy(images / train[0][0], images / "copy.png")
    parts["test"].append(["copy.png", 0, CLASSES[0]])
    parts["train"] += [train[4], [train[8][0], 3, CLASSES[3]]]
    return parts


DOUBTS = [
    "1 image in train and in test (train_0_0.png = copy.png)",
    "2 images more than once in train (train_1_1.png, train_2_2.png)",
    "1 image under several labels (train_2_2.png)",
]


def test_doubles_are_said_everywhere(own, caplog):
    write(doubled(own))
    receipt, split = made()
    assert receipt["warnings"] == split[KEY]["warnings"] == DOUBTS
    for doubt in DOUBTS:
        assert f"Data set own: {doubt}." in caplog.text
    for step, key in (("test-features", "own/plain"), ("evaluate", "base_to_novel/own/zero_shot/0/-")):
        assert run(step, key)[1]
    assert run("metrics", "base_to_novel/zero_shot")[1]
    assert len(read_metrics(Path("results/metrics/base_to_novel/zero_shot.json"))[0]) == 1
    assert run("table", "base_to_novel")[1]
    for ending in ("md", "html", "tex"):
        page = Path(f"results/tables/base_to_novel.{ending}").read_text()
        assert all(f"own: {doubt}." in page.replace("\\_", "_") for doubt in DOUBTS)


def test_doubles_are_refused_where_the_user_is_strict(own):
    configure(strict=True)
    write(doubled(own))
    said, done = run("data", "own")
    assert not done
    assert (
        said == f"promptdistill: Data set own: {'; '.join(DOUBTS)}.  Mend it, or do without strict: true.\n"
    )
    assert not Path("results/data/own.json").exists()


def test_images_are_compared_whole(tmp_path):
    """Neither the size nor the last bytes alone make a double."""
    bodies = {"a": b"a" * 5000, "b": b"b" + b"a" * 4999, "c": b"a" * 5000, "d": b"a" * 4999}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
    items = [Item(name, index, f"class {index}") for index, name in enumerate(bodies)]
    entry = DatasetConfig(folder="x", split="s", template="{}")
    split = Split(train=items, val=[], test=items)
    found = findings(entry, split, contents_of(split, tmp_path))
    assert "1 image under several labels (a = c)" in found


def test_only_a_few_names_are_given(own):
    own["test"] += own["train"]
    write(own)
    (sentence,) = made()[0]["warnings"]
    assert sentence == "12 images in train and in test (train_0_0.png, train_0_1.png, train_0_2.png, …)"


def test_classes_that_lack_images_or_share_a_name(own):
    own["train"] = [row for row in own["train"] if row[1] != 2]
    for rows in own.values():
        rows[:] = [
            [path, label, CLASSES[0].replace(" ", "_") if label == 1 else n] for path, label, n in rows
        ]
    write(own)
    assert made()[0]["warnings"] == [
        "1 class without training images (green tree)",
        "1 class name given to several labels (red ball)",
    ]


def test_fewer_classes_than_published(own):
    entry = yaml.safe_load(Path("config/datasets/own.yaml").read_text()) | {"classes": 5}
    Path("config/datasets/own.yaml").write_text(yaml.dump(entry))
    write(own)
    assert made()[0]["warnings"] == ["it has 4 classes, where 5 are published"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda parts: parts | {"tain": parts.pop("train")}, "unknown key 'tain' (did you mean train?)"),
        (lambda parts: parts | {"vall": []}, "unknown key 'vall' (did you mean val?)"),
        (lambda parts: parts | {"test": []}, "split.json names no test images"),
        (lambda parts: {p: [[a, b, ""] for a, b, _ in parts[p]] for p in parts}, "has an empty class name"),
        (
            lambda parts: {p: [[a, b, "  _"] for a, b, _ in parts[p]] for p in parts},
            "has an empty class name",
        ),
        (lambda parts: {p: [[a, b, "x"] for a, b, _ in parts[p]] for p in parts}, "calls all 4 classes 'x'"),
        (lambda parts: {p: [[a.upper(), b, c] for a, b, c in parts[p]] for p in parts}, "case counts"),
        (lambda parts: parts | {"test": [["a\0b.png", 0, CLASSES[0]]]}, "names 'a\\x00b.png', not found"),
        (lambda parts: parts | {"test": [["a" * 999, 0, CLASSES[0]]]}, "not found in"),
        (lambda parts: parts | {"test": [["a.png", 2**31, "x"]]}, "has the label 2147483648"),
    ],
)
def test_what_is_refused_at_once(own, change, said):
    write(change(own))
    output, done = run("data", "own")
    assert not done
    assert said in output


def test_a_byte_order_mark(own):
    write(own, "utf-8-sig")
    assert made()[1]["train"] == own["train"]


def test_names_in_another_form_of_unicode(own):
    """Composed in the split and decomposed on disk, as macOS has it; and two spellings of one class."""
    composed, decomposed = "\u00e9t\u00e9", "e\u0301te\u0301"
    Path("data/own/images", decomposed).mkdir()
    path = own["train"][0][0]
    Path("data/own/images", path).rename(Path("data/own/images", decomposed, path))
    own["train"][0] = [f"{composed}/{path}", 0, composed]
    for part in own:
        own[part] = [[a, b, decomposed if b == 0 else c] for a, b, c in own[part]]
    own["train"][0][2] = composed
    write(own)
    split = made()[1]
    assert split["train"][0] == [f"{decomposed}/{path}", 0, composed]
    assert {name for _, label, name in split["test"] if label == 0} == {composed}


def test_a_name_that_is_there_as_it_is_stays(own):
    path = "e\u0301.png"
    Path("data/own/images", own["train"][0][0]).rename(Path("data/own/images", path))
    own["train"][0][0] = path
    write(own)
    assert made()[1]["train"][0][0] == path


def test_a_split_of_test_images_alone_cannot_be_drawn_from(own):
    write({"test": own["test"]})
    made()
    said, done = run("draw", "own/2/1")
    assert (said, done) == ("promptdistill: own has no training images, so it can only be tested.\n", False)


def test_a_miniature_of_another_name(own):
    entry = yaml.safe_load(Path("config/datasets/own.yaml").read_text()) | {"miniature": "mini_shape"}
    Path("config/datasets/own.yaml").write_text(yaml.dump(entry))
    said, done = run("data", "own")
    assert not done
    assert "There is no miniature data set 'mini_shape' (did you mean mini_shapes?)." in said


def test_check_files_keeps_a_split_that_fits(own):
    write(own)
    split = read_zhou(Path("data/own/split.json"))
    assert check_files(split, Path("data/own/images")) is split
