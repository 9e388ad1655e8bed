"""Bad input at the command line: one clear sentence, no traceback, nothing overwritten."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
STUDENT = ["--student", "miniature-student:miniature", "--threads", "1"]
REGIONS = ["--regions", "2", "--region-seed", "1", "--region-scale", "0.5", "1"]


def promptdistill(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "promptdistill", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def sentence(*arguments):
    """The one line that a failing command prints."""
    done = promptdistill(*arguments)
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("\r", "teacher", "testing"))]
    assert "Traceback" not in done.stderr
    assert len([line for line in lines if line.startswith("promptdistill: ")]) == 1, done.stderr
    return lines[-1]


@pytest.fixture
def own(tmp_path):
    """A user's own data set, with its entry in a config folder: two classes of four images."""
    (tmp_path / "config/datasets").mkdir(parents=True)
    (tmp_path / "config/datasets/own.yaml").write_text(
        'folder: own\nimages: images\nsplit: split.json\ntemplate: "a photo of a {}."\n'
    )
    (tmp_path / "data/own/images").mkdir(parents=True)
    rows = []
    for label, name in enumerate(["red star", "blue ring"]):
        for number in range(4):
            path = f"{label}_{number}.png"
            Image.new("RGB", (40, 30), name.split()[0]).save(tmp_path / "data/own/images" / path)
            rows.append([path, label, name])
    write_split(tmp_path, rows)
    return tmp_path


def write_split(folder, rows):
    split = {"train": rows, "val": rows, "test": rows}
    (folder / "data/own/split.json").write_text(json.dumps(split))


def split_command(folder):
    return ["split", *flags(folder), "--output", folder / "split.json"]


def flags(folder):
    return ["--dataset", "own", "--config-dir", folder / "config", "--data-root", folder / "data"]


def evaluate_command(folder, *own):
    split = ["--split", folder / "split.json"]
    output = ["--output", folder / "p.parquet"]
    return ["evaluate", *flags(folder), *split, *STUDENT, "--method", "zero_shot", *output, *own]


def adapt_command(folder, method, student=STUDENT, **hyperparameters):
    """Adapting on a draw, which is made first."""
    split = ["--split", folder / "split.json"]
    draw = folder / "draw.json"
    promptdistill("draw", *split, "--shots", "2", "--seed", "1", "--output", draw)
    own = ["--method", method, "--hyperparameters", json.dumps(hyperparameters)]
    run = ["--shots", "2", "--seed", "1", "--draw", draw, "--output", folder / "x.safetensors"]
    return ["adapt", *flags(folder), *split, *student, *REGIONS, *own, *run]


def test_own_data_set_from_files_to_predictions(own):
    """One config entry is all that a new data set needs."""
    receipt = own / "own.json"
    assert promptdistill("data", *flags(own), "--output", receipt).returncode == 0
    assert json.loads(receipt.read_text())["images"] == {"train": 8, "val": 8, "test": 8}
    assert promptdistill(*split_command(own)).returncode == 0
    done = promptdistill(*evaluate_command(own))
    assert done.returncode == 0, done.stderr
    assert promptdistill("metrics", own / "p.parquet", "--output", own / "m.json").returncode == 0
    assert json.loads((own / "m.json").read_text())[0]["images"] == 8


def test_a_variant_of_imagenet_by_wordnet_id(own):
    """Three of five classes, in an archive's own folders: tested over these three alone."""
    names = {"n01": "star", "n02": "ring", "n03": "heart", "n04": "moon", "n05": "cross"}
    (own / "data/imagenet").mkdir()
    listed = "".join(f"{wordnet_id} {name}\n" for wordnet_id, name in names.items())
    (own / "data/imagenet/classnames.txt").write_text(listed)
    (own / "config/datasets/own.yaml").write_text(
        "folder: variant\nimages: images\nsplit: classnames.txt\nsplit_format: imagenet_variant\n"
        'template: "a photo of a {}."\n'
    )
    for wordnet_id in ("n05", "n01", "n03"):
        (own / "data/variant/images" / wordnet_id).mkdir(parents=True)
        Image.new("RGB", (40, 30), "red").save(own / f"data/variant/images/{wordnet_id}/a.JPEG")
    assert promptdistill("data", *flags(own), "--output", own / "own.json").returncode == 0
    assert json.loads((own / "own.json").read_text())["images"] == {"train": 0, "val": 0, "test": 3}
    assert promptdistill(*split_command(own)).returncode == 0
    done = promptdistill(*evaluate_command(own, "--protocol", "transfer"))
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(own / "p.parquet")
    assert frame["subset"].unique().tolist() == ["all"]
    assert dict(zip(frame["path"], frame["label"], strict=True)) == {
        "n01/a.JPEG": 0,
        "n03/a.JPEG": 1,
        "n05/a.JPEG": 2,
    }
    assert frame["prediction"].between(0, 2).all()
    promptdistill("metrics", own / "p.parquet", "--output", own / "m.json")
    row = json.loads((own / "m.json").read_text())[0]
    assert row["accuracy"] == pytest.approx(100 * (frame["label"] == frame["prediction"]).mean())


def test_every_lookup_by_hand(own):
    """Stored regions, the teacher's lookup, and features of a draw and of test images; then used."""
    promptdistill(*split_command(own))
    split = ["--split", own / "split.json"]
    values = {"epochs": 2, "batch_size": 2, "lr": 0.1, "n_ctx": 2}
    adapt = adapt_command(own, "coop", **values)
    store = ["regions", *flags(own), *split, *STUDENT[:2], *REGIONS, "--max-gb", "1", "--output", own / "r"]
    stored = ["--stored-regions", own / "r"]
    teacher = ["--teacher", "miniature-teacher:miniature"]
    ask = ["lookup", *flags(own), *split, *teacher, *REGIONS, *stored, "--output", own / "l"]
    encode = [*flags(own), *split, *STUDENT]
    of_draw = ["features", *encode, *REGIONS, "--draw", own / "draw.json", "--output", own / "f"]
    of_test = ["test-features", *encode, "--output", own / "t"]
    for command in (store, ask, of_draw, of_test, [*adapt, "--features", own / "f"]):
        done = promptdistill(*command)
        assert done.returncode == 0, done.stderr
    online = promptdistill(*evaluate_command(own))
    assert online.returncode == 0
    frame = pd.read_parquet(own / "p.parquet")
    looked_up = promptdistill(*evaluate_command(own, "--features", own / "t"))
    assert looked_up.returncode == 0, looked_up.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(own / "p.parquet"), frame, check_exact=False, atol=1e-5)
    said = sentence(*evaluate_command(own, "--features", own / "f"))
    assert "was made with images_sha256" in said


def test_unknown_data_set():
    said = sentence("data", "--dataset", "eurosatt", "--data-root", "x", "--output", "x/y")
    assert "There is no data set 'eurosatt'" in said
    assert "did you mean eurosat?" in said


def test_unknown_method(own):
    promptdistill(*split_command(own))
    said = sentence(*adapt_command(own, "coup"))
    assert said == "promptdistill: There is no method 'coup' (did you mean coop?)."


def test_missing_image(own):
    promptdistill(*split_command(own))
    before = (own / "split.json").read_bytes()
    (own / "data/own/images/0_1.png").unlink()
    said = sentence(*split_command(own))
    assert "The split names '0_1.png' and 2 other images, not found in" in said
    assert (own / "split.json").read_bytes() == before


@pytest.mark.parametrize("workers", ["0", "1"])
def test_undecodable_image(own, workers):
    promptdistill(*split_command(own))
    (own / "data/own/images/1_0.png").write_bytes(b"no picture")
    said = sentence(*evaluate_command(own, "--workers", workers))
    assert said.startswith("promptdistill: The image ")
    assert "1_0.png cannot be decoded (not an image)" in said
    assert not (own / "p.parquet").exists()


def test_class_name_too_long(own):
    name = "very " * 90 + "long"
    write_split(own, [["0_0.png", 0, "red star"], ["1_0.png", 1, name]])
    promptdistill(*split_command(own))
    said = sentence(*evaluate_command(own))
    assert "tokens and the text tower holds 77: shorten the class name" in said


def test_a_single_class(own):
    write_split(own, [["0_0.png", 0, "red star"]])
    assert "has 1 class(es); a split needs at least 2" in sentence(*split_command(own))


def test_a_half_without_test_images(own):
    rows = [["0_0.png", 0, "red star"], ["1_0.png", 1, "blue ring"]]
    split = {"train": rows, "val": [], "test": rows[:1]}
    (own / "data/own/split.json").write_text(json.dumps(split))
    promptdistill(*split_command(own))
    assert "has no test image of the novel classes" in sentence(*evaluate_command(own))


def test_vision_prompts_for_a_text_only_model(own):
    promptdistill(*split_command(own))
    values = {"epochs": 1, "batch_size": 2, "lr": 0.1, "n_ctx_text": 2, "n_ctx_vision": 2, "prompt_depth": 1}
    said = sentence(*adapt_command(own, "ivlp", ["--student", "RN50-quickgelu:random"], **values))
    assert "takes no prompt tokens: use a text-only method such as coop, or a model with a ViT" in said


def test_a_learned_method_needs_its_own_prompt(own):
    """None, or one of another method, is refused instead of evaluated as something else."""
    promptdistill(*split_command(own))
    values = {"epochs": 1, "batch_size": 2, "lr": 0.1, "n_ctx": 2}
    done = promptdistill(*adapt_command(own, "coop", **values))
    assert done.returncode == 0, done.stderr
    no_prompt = ["--method", "coop", "--hyperparameters", json.dumps(values)]
    said = sentence(*evaluate_command(own, *no_prompt))
    assert said == "promptdistill: coop is learned: name its finished prompt with --prompt."
    said = sentence(*evaluate_command(own, "--method", "coop+caspl", "--prompt", own / "x.safetensors"))
    assert "is a prompt of coop" in said


def test_weights_that_are_no_weights(own):
    promptdistill(*split_command(own))
    (own / "weights.safetensors").write_text("garbage")
    said = sentence(*evaluate_command(own, "--student", f"ViT-B-32:{own / 'weights.safetensors'}"))
    assert "of ViT-B-32 could not be loaded" in said


def test_an_output_that_cannot_be_written(own):
    (own / "file").write_text("")
    said = sentence("data", *flags(own), "--output", own / "file/receipt.json")
    assert "file" in said


def test_regions_of_an_impossible_scale(own):
    promptdistill(*split_command(own))
    command = ["lookup", *flags(own), "--split", own / "split.json", "--output", own / "l"]
    regions = ["--regions", "2", "--region-seed", "1", "--region-scale", "0.9", "0.1"]
    said = sentence(*command, "--teacher", "miniature-teacher:miniature", *regions)
    assert "must be two shares, 0 < least <= greatest <= 1" in said


def test_options_that_do_not_fit():
    done = promptdistill("lookup", "--teacher", "ViT-B-16")
    assert done.returncode == 2
    done = promptdistill("boost", "--hyperparameters", "[1]")
    assert "not a JSON object" in done.stderr


def test_help_is_quick_and_complete():
    done = promptdistill("--help")
    for command in (
        "data",
        "split",
        "draw",
        "regions",
        "lookup",
        "features",
        "test-features",
        "boost",
        "adapt",
        "evaluate",
        "metrics",
        "table",
        "plan",
        "trace",
        "miniature",
    ):
        assert f"  {command} " in done.stdout


def test_the_command_line_imports_no_torch():
    code = "import promptdistill.cli, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
