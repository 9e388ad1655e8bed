"""A user's own data set at the command line: what works, and one clear sentence for what does not."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from own_experiment import OWN
from promptdistill.cli import main

ROOT = Path(__file__).parent.parent
RUN = "base_to_novel/own/coop/2/1"
ZERO_SHOT = "base_to_novel/own/zero_shot/0/-"
CONFIG = {
    **OWN,
    "methods": ["zero_shot", "coop"],
    "protocols": {"base_to_novel": {"shots": 2, "seeds": [1]}},
    "overrides": {"coop": {"epochs": 2, "batch_size": 2, "lr": 0.1, "n_ctx": 2}},
}


def promptdistill(*arguments):
    """Run a command in the current folder; an exception that is not meant for the user is one here, too."""
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def step(command, *keys):
    """Run a step of the pipeline, which must work."""
    done = promptdistill(command, *keys, "--config", "my.yaml")
    assert done.exit_code == 0, done.output


def sentence(command, *keys):
    """What a step that fails says: one line, which is a sentence."""
    done = promptdistill(command, *keys, "--config", "my.yaml")
    assert done.exit_code == 1, done.output
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("promptdistill: ")]
    assert said == done.stderr.splitlines()[-1]
    assert said.endswith(".")
    return said.removeprefix("promptdistill: ")


def write_config(**own):
    Path("my.yaml").write_text(yaml.dump(CONFIG | own))


def write_entry(name, **own):
    entry = {"folder": name, "images": "images", "split": "split.json", "template": "a photo of a {}."}
    Path(f"config/datasets/{name}.yaml").write_text(yaml.dump(entry | own))


def write_split(rows, **parts):
    split = {"train": rows, "val": rows, "test": rows, **parts}
    Path("data/own/split.json").write_text(json.dumps(split))


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A folder with a data set of two classes of four images, its entry, and a configuration."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config/methods", "config/methods")
    Path("config/datasets").mkdir()
    Path("data/own/images").mkdir(parents=True)
    rows = []
    for label, name in enumerate(["red star", "blue ring"]):
        for index in range(4):
            path = f"{label}_{index}.png"
            Image.new("RGB", (40, 30), name.split()[0]).save(Path("data/own/images", path))
            rows.append([path, label, name])
    write_config()
    write_entry("own")
    write_split(rows)


@pytest.fixture
def split():
    step("data", "own")
    step("split", "own")


@pytest.fixture
def ready(split):
    """All that training coop takes: a draw, and looked-up features where it has use for them."""
    step("draw", "own/2/1")
    step("regions", "own/2")
    step("features", "own/plain/2/base_to_novel/2/1")


def read_json(path):
    return json.loads(Path(path).read_text())


# What works


def test_own_data_set_from_files_to_a_table(ready):
    """One entry and a configuration are all that a new data set needs."""
    assert read_json("results/data/own.json")["images"] == {"train": 8, "val": 8, "test": 8}
    step("adapt", RUN)
    step("test-features", "own/plain")
    step("evaluate", RUN)
    step("evaluate", ZERO_SHOT)
    for method in ("coop", "zero_shot"):
        step("metrics", f"base_to_novel/{method}")
        (row,) = read_json(f"results/metrics/base_to_novel/{method}.json")["runs"]
        assert (row["dataset"], row["images"]) == ("own", 8)
    step("table", "base_to_novel")
    cells = pd.read_csv("results/tables/base_to_novel.csv")
    assert set(cells["method"]) == {"coop", "zero_shot"}
    step("overview")
    assert promptdistill("trace", RUN, "--config", "my.yaml").exit_code == 0
    step("verify", RUN)


def test_a_miniature_is_drawn():
    """A data set that is not downloaded, since its entry names a generator."""
    shutil.copy(ROOT / "config/datasets/mini_shapes_mosaic.yaml", "config/datasets")
    step("data", "mini_shapes_mosaic")
    step("split", "mini_shapes_mosaic")
    entry = yaml.safe_load(Path("config/datasets/mini_shapes_mosaic.yaml").read_text())
    assert read_json("results/data/mini_shapes_mosaic.json")["images"]["test"] == entry["sizes"]["test"]
    pictures = Path("data", entry["folder"], entry["images"]).rglob("*.png")
    assert len(list(pictures)) == entry["sizes"]["test"]


def test_runs_of_one_method_share_a_process(ready):
    write_config(protocols={"base_to_novel": {"shots": 2, "seeds": [1, 2]}})
    step("draw", "own/2/2")
    step("features", "own/plain/2/base_to_novel/2/2")
    step("adapt", RUN, "base_to_novel/own/coop/2/2")
    prompts = sorted(Path("results/adapting/base_to_novel/own/coop/2").glob("*.safetensors"))
    assert [path.name for path in prompts] == ["1.safetensors", "2.safetensors"]
    together = [path.read_bytes() for path in prompts]
    for path in prompts:
        path.unlink()
    step("adapt", "base_to_novel/own/coop/2/2")
    step("adapt", RUN)
    assert [path.read_bytes() for path in prompts] == together


def test_a_variant_of_imagenet_by_wordnet_id(split):
    """Three of five classes, in an archive's own folders: tested over these three alone."""
    names = {"n01": "star", "n02": "ring", "n03": "heart", "n04": "moon", "n05": "cross"}
    Path("data/imagenet").mkdir()
    listed = "".join(f"{wordnet_id} {name}\n" for wordnet_id, name in names.items())
    Path("data/imagenet/classnames.txt").write_text(listed)
    write_entry("variant", split="classnames.txt", split_format="imagenet_variant")
    for wordnet_id in ("n05", "n01", "n03"):
        folder = Path("data/variant/images", wordnet_id)
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 30), "red").save(folder / "a.JPEG")
    transfer = {"source": "own", "domain_generalization": ["variant"], "shots": 2, "seeds": [1]}
    write_config(protocols={"transfer": transfer}, methods=["zero_shot"], overrides={})
    step("data", "variant")
    assert read_json("results/data/variant.json")["images"] == {"train": 0, "val": 0, "test": 3}
    step("split", "variant")
    for dataset in ("own", "variant"):
        step("test-features", f"{dataset}/plain")
        step("evaluate", f"transfer/{dataset}/zero_shot/0/-")
    frame = pd.read_parquet("results/predictions/transfer/variant/zero_shot/0/-.parquet")
    assert frame["subset"].unique().tolist() == ["all"]
    assert dict(zip(frame["path"], frame["label"], strict=True)) == {
        "n01/a.JPEG": 0,
        "n03/a.JPEG": 1,
        "n05/a.JPEG": 2,
    }
    assert frame["prediction"].between(0, 2).all()
    step("metrics", "transfer/zero_shot")
    rows = {row["dataset"]: row for row in read_json("results/metrics/transfer/zero_shot.json")["runs"]}
    right = (frame["label"] == frame["prediction"]).mean()
    assert rows["variant"]["accuracy"] == pytest.approx(100 * right)


def test_every_lookup_by_hand(ready):
    """Stored regions, the teacher's answers, and features of a draw and of test images; then used."""
    step("lookup", "own/zero_shot/2")
    step("adapt", RUN)
    said = sentence("evaluate", RUN)
    assert said == "results/features/own/plain/test/manifest.json does not exist: make it first."
    step("test-features", "own/plain")
    step("evaluate", RUN)


def test_a_run_in_a_process_of_its_own():
    """As the workflow starts it: the status, and nothing but the sentence for what fails."""
    command = [sys.executable, "-m", "promptdistill", "split", "own", "--config", "my.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "promptdistill: results/data/own.json does not exist: make it first.\n"


# Keys


@pytest.mark.parametrize(
    ("command", "keys", "message"),
    [
        (
            "data",
            ["eurosatt"],
            "There is no data set 'eurosatt': config/datasets/eurosatt.yaml does not",
        ),
        ("adapt", ["base_to_novel/own/coup/2/1"], r"There is no method 'coup': .*\(did you mean coop\?\)"),
        ("evaluate", ["base_to_novel/own/coup/2/1"], r"There is no method 'coup': .*\(did you mean coop\?\)"),
        (
            "adapt",
            ["base_to_novl/own/coop/2/1"],
            r"There is no protocol 'base_to_novl' \(did you mean",
        ),
        (
            "evaluate",
            ["base_to_novl/own/coop/2/1"],
            r"There is no protocol 'base_to_novl' \(did you mean",
        ),
        (
            "metrics",
            ["base_to_novl/coop"],
            r"There is no protocol 'base_to_novl' \(did you mean",
        ),
        (
            "adapt",
            ["few_shot/own/coop/2/1"],
            "The configuration does not run few_shot: add it under",
        ),
        ("evaluate", ["few_shot/own/coop/2/1"], "The configuration does not run few_shot: add it under"),
        ("metrics", ["few_shot/coop"], "The configuration does not run few_shot: add it under"),
        ("features", ["own/plain/2/few_shot/2/1"], "The configuration does not run few_shot: add it under"),
        ("adapt", [ZERO_SHOT], "zero_shot learns nothing: there is no prompt to make"),
        ("adapt", ["base_to_novel/own/coop/0/-"], "coop/0/- is a run without training: give 1 shot or more"),
        ("evaluate", ["base_to_novel/own/coop/0/-"], "learns a prompt: give 1 shot or more, and a seed"),
        ("evaluate", ["base_to_novel/own/zero_shot/2/1"], "learns nothing: give 0/-"),
        ("adapt", [RUN, "base_to_novel/own/kgcoop/2/1"], "differ in more than shots and seed: give them to"),
        ("adapt", ["own/coop"], "'own/coop' is not a run: name protocol, data set, method, shots and seed"),
        ("tune-teacher", [RUN], "teachers are tuned by promptkd_teacher, not by coop"),
        ("draw", ["own"], "'own' does not say what to make: give DATASET/SHOTS/SEED"),
        ("draw", ["own/two/1"], "'own/two/1' does not say what to make: give DATASET/SHOTS/SEED"),
        ("draw", ["own/0/1"], "'own/0/1' does not say what to make: give .*, with 1 shot or more"),
        ("boost", ["own/bosted"], "There is no boosting prompt 'bosted'"),
        ("test-features", ["own/plane"], "There is no boosting prompt 'plane'"),
        ("lookup", ["own/somebody/2"], "There is no teacher 'somebody'"),
        ("lookup-part", ["own/zero_shot/2/2/2"], "parts count from 0, so the last one is 1"),
        ("regions", ["own/many"], "'many' is not a set of regions, such as 20"),
        ("table", ["few_shots"], r"There is no table 'few_shots' \(did you mean few_shot\?\)"),
        ("table", ["few_shot"], "The configuration does not run few_shot: add it under"),
        ("ablation", ["coop"], "The configuration does not compare coop with its variants: add it under"),
        ("trace", ["own/coop"], "'own/coop' is not a run: name protocol, data set, method, shots and seed"),
        (
            "trace",
            ["t.html", "--cell", "a,coop"],
            r"t_record.json does not exist, which says what t\.csv",
        ),
        ("trace", ["t.html", "--cell", "a"], "give a data set and a method, such as dtd,coop"),
        ("verify", ["own/coop"], "'own/coop' is not a run: name protocol, data set, method, shots and seed"),
    ],
)
def test_wrong_keys(split, command, keys, message):
    assert re.search(message, sentence(command, *keys))


def test_a_missing_configuration():
    done = promptdistill("data", "own", "--config", "mine.yaml")
    assert (done.exit_code, done.stderr) == (1, "promptdistill: mine.yaml does not exist.\n")


def test_wrong_configurations(split):
    """Refused by every command, before it does anything."""
    write_config(methods=["coop", "coup"])
    assert sentence("regions", "own/2").startswith("There is no method 'coup': ")
    write_config(regions={"scale": [0.9, 0.1]})
    said = sentence("regions", "own/2")
    assert said == "configuration: regions: scale [0.9, 0.1] must be two shares, 0 < least <= greatest <= 1."
    said = sentence("regions", "own/2_0.9to0.1")
    assert "must be two shares, 0 < least <= greatest <= 1" in said
    assert not Path("results/regions").exists()


# Data


def test_missing_image(split):
    path = Path("results/splits/own/split.json")
    before = path.read_bytes()
    Path("data/own/images/0_1.png").unlink()
    assert "The split names '0_1.png' and 2 other images, not found in" in sentence("split", "own")
    assert path.read_bytes() == before


@pytest.mark.parametrize("workers", [0, 1])
def test_undecodable_image(split, workers):
    Path("data/own/images/1_0.png").write_bytes(b"no picture")
    write_config(jobs={"loader_workers": workers})
    said = sentence("test-features", "own/plain")
    assert said.startswith("The image ")
    assert "1_0.png cannot be decoded (not an image)" in said
    assert not list(Path("results/features").rglob("manifest.json"))


def test_class_name_too_long():
    write_split([["0_0.png", 0, "red star"], ["1_0.png", 1, "very " * 90 + "long"]])
    step("data", "own")
    step("split", "own")
    step("test-features", "own/plain")
    said = sentence("evaluate", ZERO_SHOT)
    assert "tokens and the text tower holds 77: shorten the class name" in said


def test_a_single_class():
    write_split([["0_0.png", 0, "red star"]])
    assert "has 1 class(es); a split needs at least 2" in sentence("data", "own")


def test_a_half_without_test_images():
    rows = [["0_0.png", 0, "red star"], ["1_0.png", 1, "blue ring"]]
    write_split(rows, val=[], test=rows[:1])
    step("data", "own")
    step("split", "own")
    step("test-features", "own/plain")
    assert "has no test image of the subset novel" in sentence("evaluate", ZERO_SHOT)


# Models and prompts


def test_vision_prompts_for_a_text_only_model(split):
    step("draw", "own/2/1")
    student = {"model": "RN50-quickgelu", "pretrained": "random"}
    write_config(
        methods=["ivlp"],
        backbones=CONFIG["backbones"] | {"student": student},
        regions={"max_gb": 0},
        overrides={"ivlp": {"epochs": 1}},
    )
    said = sentence("adapt", "base_to_novel/own/ivlp/2/1")  # as every command: the configuration is checked
    assert "takes no prompt tokens: use a text-only method such as coop, or a model with a ViT" in said


def test_a_learned_method_needs_its_own_prompt(ready):
    """None, or one of another method, is refused instead of evaluated as something else."""
    step("test-features", "own/plain")
    prompt = Path(f"results/adapting/{RUN}.safetensors")
    assert sentence("evaluate", RUN) == f"{prompt} does not exist: make it first."
    step("adapt", RUN)
    other = Path("results/adapting/base_to_novel/own/kgcoop/2/1.safetensors")
    other.parent.mkdir(parents=True)
    shutil.copy(prompt, other)
    said = sentence("evaluate", "base_to_novel/own/kgcoop/2/1")
    assert f"is not base_to_novel/own/kgcoop/2/1, but {RUN}: delete it and run again" in said


def test_results_of_an_earlier_version(split):
    """One sentence at any command, that says what to delete."""
    Path("results/splits/own/2shots_seed1.json").write_text("{}")
    said = sentence("draw", "own/2/1")
    assert said.startswith("results was filled by an earlier version of this program")
    assert said.endswith("move the folder away, or delete all in it but data, and run again.")


def test_weights_that_are_no_weights(split):
    Path("weights.safetensors").write_text("garbage")
    student = {"model": "ViT-B-32", "pretrained": "weights.safetensors"}
    write_config(backbones=CONFIG["backbones"] | {"student": student})
    said = sentence("test-features", "own/plain")
    assert "weights.safetensors is not a whole safetensors file" in said


def test_an_output_that_cannot_be_written():
    Path("file").write_text("")
    write_config(results="file/results")
    assert sentence("data", "own") == "file/results cannot be used: Not a directory."


# What was made otherwise, or was changed since

OTHER = "base_to_novel/own/coop/2/2"
READERS = {  # a file, another of its kind, and the step that reads it
    "data/own.json": ("data/other.json", "split", "own"),
    "splits/own/split.json": ("splits/other/split.json", "draw", "own/2/1"),
    "splits/own/2/1.json": ("splits/own/2/2.json", "features", "own/plain/2/base_to_novel/2/1"),
    "regions/own/2/manifest.json": ("regions/own/1/manifest.json", "lookup", "own/zero_shot/2"),
    "features/own/plain/2/base_to_novel/2/1/manifest.json": (
        "features/own/plain/2/base_to_novel/2/2/manifest.json",
        "adapt",
        RUN,
    ),
    "features/own/plain/2/base_to_novel/2/1/shard-00000.safetensors": (
        "features/own/plain/2/base_to_novel/2/2/shard-00000.safetensors",
        "adapt",
        RUN,
    ),
    f"adapting/{RUN}.safetensors": (f"adapting/{OTHER}.safetensors", "evaluate", RUN),
    "features/own/plain/test/manifest.json": (
        "features/own/plain/2/base_to_novel/2/1/manifest.json",
        "evaluate",
        RUN,
    ),
    f"predictions/{RUN}.parquet": (f"predictions/{OTHER}.parquet", "metrics", "base_to_novel/coop"),
    "metrics/base_to_novel/coop.json": (
        "metrics/base_to_novel/zero_shot.json",
        "table",
        "base_to_novel",
    ),
    "tables/base_to_novel.csv": ("tables/base_to_novel_seeds.csv", "overview"),
    "tables/base_to_novel_record.json": ("metrics/base_to_novel/coop.json", "overview"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Results of two seeds, made by hand, with what else is needed to swap files; not to be changed."""
    return tmp_path_factory.mktemp("finished") / "results"


@pytest.fixture
def results(own, finished):
    """A copy of finished results in the current folder."""
    write_config(protocols={"base_to_novel": {"shots": 2, "seeds": [1, 2]}})
    if not finished.exists():
        shutil.copytree("data/own", "data/other")
        write_entry("other")
        for dataset in ("own", "other"):
            step("data", dataset)
            step("split", dataset)
        for regions in ("own/1", "own/2"):
            step("regions", regions)
        for seed in (1, 2):
            step("draw", f"own/2/{seed}")
            step("features", f"own/plain/2/base_to_novel/2/{seed}")
        step("adapt", RUN, OTHER)
        step("test-features", "own/plain")
        step("evaluate", RUN, OTHER)
        step("evaluate", ZERO_SHOT)
        for method in ("coop", "zero_shot"):
            step("metrics", f"base_to_novel/{method}")
        step("table", "base_to_novel")
        shutil.copytree("results", finished)
    else:
        shutil.copytree(finished, "results")
    return Path("results")


def outputs(results):
    """All results, but for hashes, such as of a file with a byte that means nothing."""
    files = [path for path in sorted(results.rglob("*.*")) if path.name[0] != "."]
    return {path: re.sub(rb"[0-9a-f]{64}", b"", path.read_bytes()) for path in files}


@pytest.mark.parametrize("damage", ["cut", "empty", "swapped", "flipped"])
@pytest.mark.parametrize("file", READERS)
def test_damage_is_never_used(results, file, damage):
    """The step that reads it refuses it, or, of a byte that means nothing, ends in the very same files."""
    other, command, *keys = READERS[file]
    path, before = results / file, (results / file).read_bytes()
    step(command, *keys)
    expected = outputs(results)
    changed = {"cut": before[: len(before) // 2], "empty": b"", "swapped": (results / other).read_bytes()}
    if damage != "flipped":
        path.write_bytes(changed[damage])
        sentence(command, *keys)
        return
    for place in range(0, len(before), max(1, len(before) // 7)):
        content = bytearray(before)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        done = promptdistill(command, *keys, "--config", "my.yaml")
        if done.exit_code == 0:
            path.write_bytes(before)
            assert outputs(results) == expected


@pytest.mark.parametrize(
    ("change", "command", "key", "said"),
    [
        ({"overrides": {"coop": {"lr": 0.2}}}, "evaluate", RUN, "settings .*hyperparameters"),
        ({"precision": "bfloat16"}, "adapt", RUN, "settings .*machine"),
        ({"lookup": {"shard_images": 3}}, "evaluate", RUN, "settings .*shards"),
        (
            {"backbones": dict.fromkeys(("student", "teacher"), CONFIG["backbones"]["teacher"])},
            "metrics",
            "base_to_novel/coop",
            "settings .*student",
        ),
    ],
)
def test_what_was_made_with_other_settings(results, change, command, key, said):
    write_config(protocols={"base_to_novel": {"shots": 2, "seeds": [1, 2]}}, **change)
    assert re.search(f"was made with other {said}.*: delete it and run again", sentence(command, key))


def test_what_was_made_from_another_file(results):
    """A split that the user has edited, or one that was made again, is not mixed with what came before."""
    split = json.loads(Path("data/own/split.json").read_text())
    split["test"] = split["test"][1:]
    Path("data/own/split.json").write_text(json.dumps(split))
    assert "data/own.json was made from another published split than" in sentence("split", "own")
    step("data", "own")
    step("split", "own")
    for command, key in (("evaluate", RUN), ("adapt", RUN), ("features", "own/plain/2/base_to_novel/2/1")):
        assert re.search("was made from another (split|receipt) than", sentence(command, key))


def test_folders_may_be_renamed(results):
    """What was made from what counts from the folder, wherever it lies."""
    results.rename("elsewhere")
    write_config(results="elsewhere", protocols={"base_to_novel": {"shots": 2, "seeds": [1, 2]}})
    step("evaluate", RUN)
    step("table", "base_to_novel")
    step("overview")


# The command line itself


def test_options_that_do_not_fit():
    done = promptdistill("split")
    assert done.exit_code == 2
    assert "Missing argument 'KEY'" in done.stderr
    done = promptdistill("split", "own", "--shots", "2")
    assert done.exit_code == 2
    assert "No such option '--shots'" in done.stderr


def commands(group=main, name=""):
    for own, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{own} ")
        else:
            yield f"{name}{own}", command


def test_help_is_complete():
    listed = promptdistill("--help").output
    for name, command in commands():
        assert command.help
        assert f"  {name.split()[0]} " in listed
    for name in (
        "data",
        "draw",
        "adapt",
        "evaluate",
        "table",
        "plan",
        "trace",
        "verify",
        "track",
        "miniature",
    ):
        assert f"  {name} " in listed


def test_commands_take_few_options():
    """What a step depends on stands in the configuration, so that no other command line can contradict it."""
    for name, command in commands():
        options = [parameter.name for parameter in command.params if isinstance(parameter, click.Option)]
        assert len(options) <= 5, name


def test_functions_take_few_parameters():
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                taken = [one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)]
                assert len(taken) <= 8, f"{path}:{node.lineno}"


def test_the_command_line_imports_no_torch():
    code = "import promptdistill.cli, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
