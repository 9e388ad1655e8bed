"""A folder of results is never a mixture: one run at a time, odd names, and whatever changed since."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from running import jobs, run_snakemake, start_snakemake

from own_experiment import OWN

CLASSES = ["red ball", "blue cube", "green tree", "old car"]
CONFIG = {
    **OWN,
    "methods": ["zero_shot"],
    "protocols": {"base_to_novel": {"shots": 2, "seeds": [1]}},
    "overrides": {"coop": {"epochs": 1, "batch_size": 4}},
}


@pytest.fixture
def own(project):
    """The project with a small data set of a user's own."""
    images, rng = project / "data/own/images", np.random.default_rng(0)
    images.mkdir(parents=True)
    parts = {}
    for part, count in (("train", 3), ("val", 1), ("test", 2)):
        parts[part] = []
        for label, name in enumerate(CLASSES):
            for number in range(count):
                path = f"{part}_{label}_{number}.png"
                Image.fromarray(rng.integers(0, 256, (48, 60, 3), dtype=np.uint8)).save(images / path)
                parts[part].append([path, label, name])
    (project / "data/own/split.json").write_text(json.dumps(parts))
    entry = {"folder": "own", "images": "images", "split": "split.json", "template": "a photo of a {}."}
    (project / "config/datasets/own.yaml").write_text(yaml.safe_dump(entry))
    return project


def run(folder, *arguments, **changes):
    """Run the workflow; what it printed, and whether it went well."""
    (folder / "own.yaml").write_text(yaml.safe_dump(CONFIG | changes, allow_unicode=True))
    done = run_snakemake("--cores", 2, "--configfile", "own.yaml", *arguments, cwd=folder)
    return done.stdout + done.stderr, done.returncode == 0


def rerun(folder, **changes):
    """The rules that run again, which must go well; none where nothing is to be done."""
    said, well = run(folder, **changes)
    assert well, said
    return {} if "Nothing to be done" in said else jobs(said)


def methods(folder):
    return set(pd.read_csv(folder / "tables/base_to_novel.csv")["method"])


ODD = """r [é] {}'q' "d" $(touch hacked) ; touch hacked & | > * ? # % `touch hacked` 日本 -x""".replace(
    "{}", ""
)


def test_any_folder_and_what_is_asked_for_whatever_snakemake_remembers(own):
    """Names that a shell would run; a renamed folder; lost notes; an edited split; replaced images."""
    assert "table" in rerun(own, results=ODD, data_root="data")
    assert not list(own.rglob("hacked"))
    assert rerun(own, results=ODD) == {}
    # Renamed, with a method more, and without Snakemake's notes.
    (own / ODD).rename(own / "moved")
    shutil.rmtree(own / ".snakemake")
    for path in (own / "moved").glob("mlflow*"):  # a store knows where it lies
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    two = {"results": "moved", "methods": ["zero_shot", "zero_shot_ensemble"]}
    again = rerun(own, **two)
    assert "table" in again
    assert "split" not in again
    assert methods(own / "moved") == {"zero_shot", "zero_shot_ensemble"}
    assert rerun(own, **two) == {}
    # The user's own split, edited.
    split = json.loads((own / "data/own/split.json").read_text())
    turned = {part: [[path, 3 - label, name] for path, label, name in rows] for part, rows in split.items()}
    (own / "data/own/split.json").write_text(json.dumps(turned))
    assert {"data", "split", "metrics", "table"} <= set(rerun(own, **two))
    assert json.loads((own / "moved/splits/own/split.json").read_text())["test"] == turned["test"]
    # An image that is touched, and one that is replaced.
    image = own / "data/own/images/test_0_0.png"
    image.touch()
    assert rerun(own, **two) == {}
    shutil.copy(own / "data/own/images/test_1_0.png", image)
    assert {"data", "split", "metrics", "table"} <= set(rerun(own, **two))
    # One that vanished: a sentence, and the earlier table is still there.
    table = (own / "moved/tables/base_to_novel.md").read_bytes()
    image.unlink()
    said, well = run(own, **two)
    assert not well
    assert "The split names 'test_0_0.png', not found in data/own/images" in said
    assert (own / "moved/tables/base_to_novel.md").read_bytes() == table


@pytest.mark.parametrize(
    "results", ["", " ", ".", "/", "..", "a{b}", "x\ny", "s3://bucket/x", "~nobody-here/x"]
)
def test_folders_that_cannot_be_one_of_results(own, results):
    before = {*own.iterdir(), own / "own.yaml", own / ".snakemake"}
    said, well = run(own, "-n", results=results)
    assert not well
    assert "configuration: results: " in said
    assert "Traceback" not in said
    assert before.issuperset(own.iterdir())


def test_home_is_meant_by_its_sign(own, monkeypatch):
    monkeypatch.setenv("HOME", str(own / "home"))
    said, well = run(own, "-n", results="~/results")
    assert well, said
    assert str(own / "home/results") in said
    assert not (own / "~").exists()


def test_one_run_at_a_time(own):
    """The second one says who is there; a lock of a killed run is none; its orphans are waited for."""
    (own / "own.yaml").write_text(yaml.safe_dump(CONFIG))
    first = start_snakemake("--cores", 1, "--configfile", "own.yaml", cwd=own)
    held = own / "results/.running"
    while not held.exists() or not held.read_text():
        time.sleep(0.05)
        assert first.poll() is None
    said, well = run(own, methods=["zero_shot_ensemble"])
    assert not well
    assert f"results is in use by process {first.pid} of " in said
    assert "wait for it, or stop it, or give another folder under results" in said
    first.send_signal(signal.SIGKILL)
    first.wait()
    said, well = run(own, methods=["zero_shot_ensemble"])
    assert well, said
    assert methods(own / "results") == {"zero_shot_ensemble"}
    command = [sys.executable, "-m", "promptdistill", "verify", "--config", "own.yaml"]
    done = subprocess.run(command, cwd=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(Path(own, "results").rglob(".*.partial"))
