"""Bad input at the command line: one clear sentence, no traceback, nothing overwritten."""

import json
import subprocess
import sys
from pathlib import Path

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
    flags = ["--dataset", "own", "--config-dir", folder / "config", "--data-root", folder / "data"]
    return ["split", *flags, "--draw", "2:1", "--output", folder / "splits"]


def test_own_data_set_from_files_to_predictions(own):
    """One config entry is all that a new data set needs."""
    flags = ["--dataset", "own", "--config-dir", own / "config", "--data-root", own / "data"]
    receipt = own / "own.json"
    assert promptdistill("data", *flags, "--output", receipt).returncode == 0
    assert json.loads(receipt.read_text())["images"] == {"train": 8, "val": 8, "test": 8}
    assert promptdistill(*split_command(own)).returncode == 0
    split = ["--split", own / "splits/split.json"]
    output = own / "p.parquet"
    done = promptdistill(*["evaluate", *flags, *split, *STUDENT, "--method", "zero_shot", "--output", output])
    assert done.returncode == 0, done.stderr
    assert promptdistill("metrics", output, "--output", own / "m.json").returncode == 0
    assert json.loads((own / "m.json").read_text())[0]["images"] == 8


def test_unknown_data_set():
    said = sentence("data", "--dataset", "eurosatt", "--data-root", "x", "--output", "x/y")
    assert "There is no data set 'eurosatt'" in said
    assert "did you mean eurosat?" in said


def test_unknown_method(own):
    promptdistill(*split_command(own))
    flags = ["--dataset", "own", "--config-dir", own / "config", "--data-root", own / "data"]
    split = ["--split", own / "splits/split.json"]
    draw = ["--shots", "2", "--seed", "1", "--draw", own / "splits/2shots_seed1.json"]
    output = ["--output", own / "x.safetensors"]
    said = sentence("adapt", *flags, *split, *STUDENT, *REGIONS, "--method", "coup", *draw, *output)
    assert said == "promptdistill: There is no method 'coup' (did you mean coop?)."


def test_missing_image(own):
    promptdistill(*split_command(own))
    before = (own / "splits/split.json").read_bytes()
    (own / "data/own/images/0_1.png").unlink()
    said = sentence(*split_command(own))
    assert "The split names '0_1.png' and 2 other images, not found in" in said
    assert (own / "splits/split.json").read_bytes() == before


def test_undecodable_image(own):
    promptdistill(*split_command(own))
    (own / "data/own/images/1_0.png").write_bytes(b"no picture")
    flags = ["--dataset", "own", "--config-dir", own / "config", "--data-root", own / "data"]
    split = ["--split", own / "splits/split.json"]
    said = sentence(
        *["evaluate", *flags, *split, *STUDENT, "--method", "zero_shot", "--output", own / "p.parquet"]
    )
    assert "1_0.png cannot be decoded (not an image)" in said
    assert not (own / "p.parquet").exists()


def test_class_name_too_long(own):
    name = "very " * 90 + "long"
    write_split(own, [["0_0.png", 0, "red star"], ["1_0.png", 1, name]])
    promptdistill(*split_command(own))
    flags = ["--dataset", "own", "--config-dir", own / "config", "--data-root", own / "data"]
    split = ["--split", own / "splits/split.json"]
    said = sentence(
        *["evaluate", *flags, *split, *STUDENT, "--method", "zero_shot", "--output", own / "p.parquet"]
    )
    assert "tokens and the text tower holds 77: shorten the class name" in said


def test_a_single_class(own):
    write_split(own, [["0_0.png", 0, "red star"]])
    assert "has 1 class(es); a split needs at least 2" in sentence(*split_command(own))


def test_vision_prompts_for_a_text_only_model(own):
    promptdistill(*split_command(own))
    flags = ["--dataset", "own", "--config-dir", own / "config", "--data-root", own / "data"]
    split = ["--split", own / "splits/split.json"]
    values = {"epochs": 1, "batch_size": 2, "lr": 0.1, "text_context": 2, "vision_context": 2, "depth": 1}
    said = sentence(
        *["adapt", *flags, *split, "--student", "RN50-quickgelu:random", *REGIONS, "--method", "ivlp"],
        *["--hyperparameters", json.dumps(values), "--shots", "2", "--seed", "1"],
        *["--draw", own / "splits/2shots_seed1.json", "--output", own / "x.safetensors"],
    )
    assert "takes no prompt tokens: use a text-only method such as coop, or a model with a ViT" in said


def test_options_that_do_not_fit():
    done = promptdistill("lookup", "--teacher", "ViT-B-16")
    assert done.returncode == 2
    done = promptdistill("boost", "--hyperparameters", "[1]")
    assert "not a JSON object" in done.stderr


def test_help_is_quick_and_complete():
    done = promptdistill("--help")
    for command in ("data", "split", "lookup", "boost", "adapt", "evaluate", "metrics", "table", "miniature"):
        assert f"  {command} " in done.stdout


def test_the_command_line_imports_no_torch():
    code = "import promptdistill.cli, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
