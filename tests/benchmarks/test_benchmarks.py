"""The benchmarks run, on the miniature models; what they measure is asserted nowhere."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from promptdistill.clip.architecture import read_architecture
from promptdistill.planning.flops import image_flops
from promptdistill.planning.throughput import read_measured

FOLDER = Path(__file__).parents[2] / "benchmarks"
STUDENT = ("--student", "miniature-student")
TEACHER = ("--teacher", "miniature-teacher")


def run(script, output, *options):
    """Run a benchmark with one thread; its CSV file."""
    command = [sys.executable, FOLDER / script, *options, "--output", output]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return pd.read_csv(output)


@pytest.mark.parametrize("method", ["boosting", "coop", "cocoop", "maple", "promptsrc"])
def test_steps(tmp_path, method):
    """Both ways agree, else the benchmark stops; the plot is drawn; and planning takes the file."""
    options = ("--method", method, "--classes", "5", "--steps", "1", "--threads", "1")
    table = run("steps.py", tmp_path / "steps.csv", *options, *STUDENT, *TEACHER)
    assert list(table["method"]) == [method, method, "encode", "encode"]
    assert list(table["way"]) == ["plain", "ours", "ours", "ours"]
    assert (table[["seconds", "images/s", "peak GB"]] > 0).all(axis=None)
    assert (table["ratio"][:2] > 0).all()
    assert (tmp_path / "steps.png").stat().st_size > 0
    measured = read_measured(tmp_path / "steps.csv")
    models = ["miniature-student", "miniature-teacher"]
    assert [(row.method, row.student) for row in measured[1:]] == [("encode", model) for model in models]
    for row in measured[1:]:
        assert row.gflop * 1e9 == pytest.approx(image_flops(read_architecture(row.student)).forward)


def test_training_time(tmp_path):
    """Losses of the teacher online and looked up agree, as published and ours, else the benchmark stops."""
    options = ("--classes", "5", "--steps", "2", "--threads", "1")
    table = run("training_time.py", tmp_path / "time.csv", *options, *STUDENT, *TEACHER)
    assert list(table["method"].unique()) == ["coop+fdbpl", "maple+fdbpl", "promptsrc+fdbpl"]
    assert len(table) == 3 * 4
    numbers = table.select_dtypes("number").drop(columns="greatest difference of losses")
    assert (numbers > 0).all(axis=None)


def test_scaling(tmp_path):
    table = run("scaling.py", tmp_path / "scaling.csv", *STUDENT, "--threads", "1")
    assert set(table["what"]) == {"coop: step", "maple: step", "lookup", "evaluation"}


def test_pipeline(tmp_path):
    """Both ways end in the same prompts, else the benchmark stops."""
    table = run("pipeline.py", tmp_path / "pipeline.csv", *STUDENT, *TEACHER, "--threads", "1")
    assert set(table["way"]) == {"plain", "ours"}


def test_region_pixels(tmp_path):
    """Stored crops have the files' very pixels, else the benchmark stops."""
    table = run("region_pixels.py", tmp_path / "pixels.csv", "--limit", "3")
    assert (table.loc[table["way"] != "crops_jpeg", "pixel error"] == 0).all()
