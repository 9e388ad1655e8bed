"""Imports killed at random moments: the same command goes on, and the store holds each run once.

`KILLS=20 pytest tests/tracking/test_killed_imports.py` kills more often than the usual run of the tests.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml
from made_up_results import CONFIG_DIR
from servers import without_mlflow_settings
from small_results import KEYS, small_experiment

from promptdistill.tracking.importing import KEY, open_experiment
from promptdistill.tracking.store import store_of

KILLS = int(os.environ.get("KILLS", "2"))


@pytest.fixture
def track(results):
    """Starts the command, in a process group of its own."""
    config = results.parent / "own.yaml"
    config.write_text(yaml.safe_dump(small_experiment(results.parent).config.model_dump(mode="json")))
    command = [sys.executable, "-m", "promptdistill", "track", "--config", config, "--config-dir", CONFIG_DIR]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return lambda: subprocess.Popen(command, env=without_mlflow_settings(), start_new_session=True, **piped)


def wait_until(condition, process):
    while not condition():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)


def kill_after(process, seconds):
    """Kill it, unless it has ended by then: whether it was killed."""
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def assert_the_next_import_is_whole(track, results):
    process = track()
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert sum(map(int, printed.splitlines()[-1].split()[:6:2])) == len(KEYS)
    runs = open_experiment(store_of(results)).runs()
    assert sorted(run.data.tags[KEY] for run in runs) == sorted(KEYS)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert not list(results.glob(".mlflow.db*"))


def test_killed_while_it_makes_the_database(track, results):
    database = results / "mlflow.db"
    for _ in range(KILLS):
        database.unlink()
        process = track()
        wait_until(lambda: database.exists() or list(results.glob(".mlflow.db.*.partial")), process)
        kill_after(process, random.uniform(0, 5))
        assert_the_next_import_is_whole(track, results)


def test_killed_while_it_imports(track, results, finished):
    """Into a store that is there, so that every moment is one of the import."""
    database = results / "mlflow.db"
    killed = 0
    for _ in range(KILLS):
        database.write_bytes((finished / "empty.db").read_bytes())
        os.utime(database, ns=(0, 0))
        process = track()
        wait_until(lambda: database.stat().st_mtime_ns, process)
        killed += kill_after(process, random.uniform(0, 1))
        assert_the_next_import_is_whole(track, results)
    assert killed
