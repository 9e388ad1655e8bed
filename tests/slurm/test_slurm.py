"""The miniature DAG through a real Slurm controller: what is asked for, and that killed jobs cost nothing.

`device: auto` asks Slurm for a GPU, which is make-believe here, and then computes on the CPU.
"""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from running import artifacts, copy_project, run_snakemake, start_snakemake

from promptdistill.config.models import BackboneConfig
from promptdistill.planning import job_resources

EXPERIMENT = ("--configfile", Path(__file__).parent / "experiment.yaml")
HEAVY = ("regions", "lookup", "lookup_part", "answers", "tune_teacher", "boost")
GROUPS = ("encoding", "training", "testing")
SLURM_RUN = (
    *("--cores", "all", "--profile", "slurm", *EXPERIMENT),
    *("--latency-wait", 5, "--slurm-init-seconds-before-status-checks", 2),
)


def started(name):
    """The ids of the Slurm jobs that run, and whose comment (rule, or group) holds a name."""
    command = ["squeue", "--noheader", "--states=running", "--format=%i %k"]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [row.split()[0] for row in rows if name in row]


def submissions():
    """Every job that the controller has seen, oldest first, as a mapping of its properties."""
    shown = subprocess.run(
        ["scontrol", "show", "job", "--oneliner"], capture_output=True, text=True, check=True
    ).stdout
    return [dict(re.findall(r"(\S+?)=(\S+)", line)) for line in shown.splitlines()]


def workers(project, command):
    """The ids of processes of a project that run one of promptdistill's commands."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            own = (process / "cwd").resolve() == project.resolve()
        except OSError:  # ended meanwhile
            continue
        if own and len(words) > 3 and words[1].endswith(b"promptdistill") and words[2] == command.encode():
            found.append(int(process.name))
    return found


def soon(find, running):
    """What `find` finds first, while Snakemake runs."""
    while running.poll() is None:
        if found := find():
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"Snakemake ended before there was any: {running.communicate()[0][-3000:]}")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A project in which the experiment has run without Slurm."""
    folder = tmp_path_factory.mktemp("local")
    copy_project(folder)
    done = run_snakemake("--cores", 2, *EXPERIMENT, cwd=folder)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder


@pytest.fixture(scope="module")
def killed_twice(cluster, tmp_path_factory):
    """A project that ran on the cluster: once a job was cancelled, in the rerun a worker was killed."""
    folder = tmp_path_factory.mktemp("slurm_project")
    copy_project(folder)
    running = start_snakemake(*SLURM_RUN, "--retries", 0, cwd=folder, stderr=subprocess.STDOUT)
    subprocess.run(["scancel", soon(lambda: started("rule_boost"), running)], check=True)
    printed, _ = running.communicate()
    assert running.returncode != 0
    assert not (folder / "results/tables").exists(), printed[-3000:]

    running = start_snakemake(*SLURM_RUN, cwd=folder, stderr=subprocess.STDOUT)
    os.kill(soon(lambda: workers(folder, "boost"), running), signal.SIGKILL)
    printed, _ = running.communicate()
    assert running.returncode == 0, printed[-3000:]
    return folder


def test_the_results_are_those_of_a_local_run(killed_twice, local):
    """Byte for byte, tables among them."""
    own, expected = artifacts(killed_twice), artifacts(local)
    assert own.keys() == expected.keys()
    assert [name for name in own if own[name] != expected[name]] == []


def asked(rule):
    """The submissions of a rule; a group's comment holds the names of its rules."""
    return [job for job in submissions() if rule in job["Comment"]]


@pytest.mark.parametrize(
    ("rule", "model"),
    [
        ("rule_lookup_part", "miniature-teacher"),
        ("answers_base_to_novel_0", "miniature-teacher"),
        ("rule_tune_teacher", "miniature-teacher"),
        ("features_base_to_novel_0", "miniature-student"),
        ("rule_boost", "miniature-student"),
        ("adapt_base_to_novel_0", "miniature-student"),
        ("evaluate_zero_shot", "miniature-student"),
    ],
)
def test_what_loads_a_model_asks_for_a_gpu_and_its_memory(killed_twice, rule, model):
    job = asked(rule)[0]
    assert job["Partition"] == "gpu"
    assert job["TresPerJob"] == "gres:gpu:1"
    backbone = BackboneConfig(model=model, pretrained="miniature")
    assert job["MinMemoryNode"] == f"{job_resources.memory_mb(backbone)}M"


def test_what_loads_none_goes_elsewhere(killed_twice):
    job = asked("rule_regions")[0]
    assert job["Partition"] == "cpu"
    assert "TresPerJob" not in job


def test_light_rules_are_not_submitted(killed_twice):
    """What is submitted is one of the long rules, or a group of short ones."""
    comments = [job["Comment"] for job in submissions()]
    kinds = {kind: [c for c in comments if c.startswith(f"rule_{kind}_")] for kind in (*HEAVY, *GROUPS)}
    assert all(kinds.values())
    assert {comment for own in kinds.values() for comment in own} == set(comments)


def test_short_jobs_share_a_submission(killed_twice):
    """Six methods are tested: with what one of them needs, one after the other."""
    tests = asked("evaluate_")
    assert 0 < len(tests) < 6
    assert all(job["TresPerJob"] == "gres:gpu:1" for job in tests)


def test_a_retry_asks_for_more(killed_twice):
    cancelled, killed, retried = (int(job["MinMemoryNode"].removesuffix("M")) for job in asked("rule_boost"))
    assert cancelled == killed
    assert retried == 2 * killed


def test_a_second_run_does_nothing(killed_twice):
    done = run_snakemake(*SLURM_RUN, cwd=killed_twice)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_failed_job_says_why(killed_twice):
    """The one sentence of the command, out of a job's log on a node."""
    data = killed_twice / "results"
    (path, *_), *_ = json.loads((data / "splits/mini_patterns/split.json").read_text())["train"]
    image = data / "data/mini_patterns/images" / path
    content = image.read_bytes()
    image.write_bytes(b"no picture")
    try:
        done = run_snakemake(*SLURM_RUN, "--retries", 0, "-R", "regions", cwd=killed_twice)
    finally:
        image.write_bytes(content)
    assert done.returncode != 0
    assert image.name in done.stdout + done.stderr
