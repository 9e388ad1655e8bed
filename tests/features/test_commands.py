"""The commands that look at images: a key and a configuration are all that they take."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from promptdistill import graph
from promptdistill.artifacts import MANIFEST, Roots, Sources, read_header
from promptdistill.cli import main
from promptdistill.config.models import Regions
from promptdistill.data.splits import draw_few_shot, select_and_relabel, write_draw, write_split
from promptdistill.experiment import Experiment
from promptdistill.features import loading
from promptdistill.features.lookup import RegionLookup
from promptdistill.features.region_store import open_store
from promptdistill.features.rows import images_sha256

ROOT = Path(__file__).parents[2]
LOOKUP, PART = graph.Lookup("tiny", "zero_shot", "2"), graph.LookupPart("tiny", "zero_shot", "2", 1, 2)
REGIONS = graph.StoredRegions("tiny", "2")
FEW = [graph.DrawFeatures("tiny", "plain", "2", "base_to_novel", 2, seed) for seed in (1, 2)]


@pytest.fixture
def run(tiny, tmp_path):
    """Runs a command on the tiny data set with its split and draws; returns what it says."""
    images, split = tiny
    entry = {"folder": "tiny", "images": "images", "split": "split.json", "template": "a photo of a {}."}
    config = {
        "results": str(tmp_path / "results"),
        "data_root": str(tmp_path / "data"),
        "backbones": {
            "student": {"model": "miniature-student", "pretrained": "miniature"},
            "teacher": {"model": "miniature-student", "pretrained": "random"},
        },
        "datasets": ["tiny"],
        "methods": ["coop"],
        "protocols": {"base_to_novel": {"shots": 2, "seeds": [1, 2]}},
        "regions": {"count": 2},
        "lookup": {"shard_images": 7},
    }
    shutil.copytree(images, tmp_path / "data" / "tiny" / "images")
    (tmp_path / "config" / "datasets").mkdir(parents=True)
    (tmp_path / "config" / "methods").symlink_to(ROOT / "config" / "methods")
    (tmp_path / "config" / "datasets" / "tiny.yaml").write_text(yaml.dump(entry))
    (tmp_path / "config.yaml").write_text(yaml.dump(config))
    experiment = Experiment.read(tmp_path / "config.yaml", tmp_path / "config")

    def place(artifact):
        """Path and header of an artifact."""
        return experiment.results / artifact.path, Sources(
            experiment.roots, artifact.made(experiment)
        ).header()

    write_split(split, *place(graph.Split("tiny")))
    for seed in (1, 2):
        write_draw(draw_few_shot(split, 2, seed), *place(graph.Draw("tiny", 2, seed)))

    def invoke(command, *keys):
        options = ["--config", tmp_path / "config.yaml", "--config-dir", tmp_path / "config"]
        return CliRunner().invoke(main, [command, *map(str, [*keys, *options])])

    return invoke


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def inputs_of(results, artifact):
    """Names and paths of what an artifact says that it was made from; all of them are what they were."""
    inputs = read_header(results / artifact.path)["inputs"]
    roots = Roots(results=results, data=results, config=results)
    assert all(roots.record(roots.locate(used)) == used for used in inputs.values())
    return {name: used.path for name, used in inputs.items()}


def test_regions_lookup_and_its_parts(run, results, tiny, student):
    split = "splits/tiny/split.json"
    assert run("regions", REGIONS.key).exit_code == 0
    folder = (results / REGIONS.path).parent
    assert open_store(folder, tiny[1].train, Regions(count=2), student.size) is not None
    assert inputs_of(results, REGIONS) == {"split": split}
    assert run("lookup-part", PART.key).exit_code == 0
    folder = (results / LOOKUP.path).parent
    assert [path.name for path in sorted(folder.iterdir())] == [
        "shard-00001.safetensors",
        "shard-00003.safetensors",
    ]
    assert run("lookup", LOOKUP.key).exit_code == 0
    lookup = RegionLookup(folder)
    lookup.require(images_sha256=images_sha256(tiny[1].train), dtype="float16")
    lookup.require_classifier("a photo of a {}.", ["star", "ring", "heart", "moon"])
    assert inputs_of(results, LOOKUP) == {"split": split, "regions": REGIONS.path}


def test_features_of_draws_are_the_same_with_stored_regions(run, results, tiny, monkeypatch):
    """Several draws in one process, of the protocol's classes; stored regions are no input."""
    made = {}
    for stored in (False, True):
        if stored:
            assert run("regions", REGIONS.key).exit_code == 0
            monkeypatch.setattr(loading, "open_image", None)  # no image may be decoded
        done = run("features", *(artifact.key for artifact in FEW))
        assert done.exit_code == 0, done.output
        made[stored] = {
            path: path.read_bytes() for artifact in FEW for path in (results / artifact.path).parent.iterdir()
        }
        for artifact in FEW:
            (results / artifact.path).with_name("shard-00000.safetensors").unlink()
    assert made[False] == made[True]
    for artifact in FEW:
        draw = draw_few_shot(tiny[1], 2, artifact.seed)
        origin = json.loads((results / artifact.path).read_text())["origin"]
        assert origin["images_sha256"] == images_sha256(select_and_relabel(draw.train, [0, 1]))
        assert inputs_of(results, artifact) == {
            "split": "splits/tiny/split.json",
            "draw": f"splits/tiny/2/{artifact.seed}.json",
        }


def test_features_of_test_images(run, results, tiny, student):
    artifact = graph.TestFeatures("tiny", "plain")
    assert run("test-features", artifact.key).exit_code == 0
    lookup = RegionLookup((results / artifact.path).parent)
    lookup.require(images_sha256=images_sha256(tiny[1].test), regions=None, encoder=student.config)
    assert inputs_of(results, artifact) == {"split": "splits/tiny/split.json"}


@pytest.mark.parametrize(
    ("command", "key", "sentence"),
    [
        (
            "lookup",
            "tiny/zero_shot",
            "does not say what to make: give DATASET/TEACHER/REGION_SET",
        ),
        ("lookup-part", "tiny/zero_shot/2/2/2", "parts count from 0, so the last one is 1"),
        ("features", "tiny/plain/2/few_shot/2/1", "The configuration does not run few_shot: add it under"),
        ("features", "tiny/plain/2/base_to_novel/4/1", "splits/tiny/4/1.json does not exist"),
        ("regions", "tiny/many", "'many' is not a set of regions, such as 20"),
        ("test-features", "tiny/boosted", "boosting/tiny/boosted.safetensors does not exist"),
    ],
)
def test_keys_of_nothing(command, key, sentence, run, results):
    done = run(command, key)
    assert done.exit_code == 1
    assert sentence in done.output
    assert not list(results.rglob(MANIFEST))
