"""One run in a folder of results, its steps, and what killed ones leave: with real processes."""

import os
import signal
import subprocess
import sys

import pytest

from promptdistill.errors import UserError
from promptdistill.files import refuse_full_disk
from promptdistill.running import claim

HOLD = "import sys, time; from pathlib import Path; from promptdistill import running\n"
HOLD += "running.{}(Path(sys.argv[1])); print('held', flush=True); time.sleep({})"


def holding(results, how, seconds=60):
    """A process that holds a folder, as a run (claim) or as a step (take_part)."""
    command = [sys.executable, "-c", HOLD.format(how, seconds), str(results)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_told_who_is_there_until_that_one_dies(tmp_path):
    first = holding(tmp_path, "claim")
    with pytest.raises(UserError, match=rf"is in use by process {first.pid} of .* since .*: wait for it, or"):
        claim(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    claim(tmp_path)
    assert f"process {os.getpid()} of " in (tmp_path / ".running").read_text()


def test_steps_that_still_work_are_waited_for_and_unfinished_files_removed(tmp_path, capsys):
    (tmp_path / "data/own").mkdir(parents=True)
    (tmp_path / "metrics").mkdir()
    left = [tmp_path / "metrics/.a.json.x.partial", tmp_path / "data/.own.json.x.partial"]
    kept = [tmp_path / "metrics/a.json", tmp_path / "data/own/.a.png.partial"]  # the last is the user's
    for path in (*left, *kept):
        path.write_text("")
    steps = [holding(tmp_path, "take_part", seconds) for seconds in (1, 2)]  # together
    claim(tmp_path)
    assert "Waiting for steps that still work in" in capsys.readouterr().err
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    for step in steps:
        assert step.wait() == 0
    holding(tmp_path, "take_part").kill()  # a step of the run itself waits for nothing


def test_a_full_disk_is_said_and_room_is_not(tmp_path, monkeypatch):
    refuse_full_disk(tmp_path)
    monkeypatch.setattr("promptdistill.files._LITTLE", 2**60)  # no disk has so much
    with pytest.raises(UserError, match=r"The disk of .* is full \(.* MB are free\): make room, or name"):
        refuse_full_disk(tmp_path)
