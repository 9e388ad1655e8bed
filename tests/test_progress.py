"""Progress: a bar where somebody watches, whole lines where a log is written."""

import contextlib
import os
import pty
import sys
import termios

import pytest

from promptdistill import progress as module
from promptdistill.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def log(capsys):
    """Reads the lines so far."""

    def read():
        return capsys.readouterr().err.splitlines()

    return read


def test_a_log_gets_lines(clock, log):
    """At the start, every half minute, and at the end; none for every step."""
    with progress(1000, "training", "step", initial=100) as bar:
        for second in range(1, 65):
            clock[0] = float(second)
            bar.update(2)
            bar.set_postfix(loss=f"{1 / second:.2f}")
    assert log() == [
        "training: 100 of 1000 (step) after 00:00",
        "training: 160 of 1000 (step) after 00:30, 2 a second, loss 0.03",
        "training: 220 of 1000 (step) after 01:00, 2 a second, loss 0.02",
        "training: 228 of 1000 (step) after 01:04, 2 a second, loss 0.02",
    ]


def test_bytes_and_an_unknown_total(clock, log):
    with progress(None, "dtd.tar.gz", "B") as bar:
        clock[0] = 4.0
        bar.update(6_000_000)
    assert log()[-1] == "dtd.tar.gz: 6.00M (B) after 00:04, 1.50M a second"


def test_a_failure_says_how_far_it_came(log):
    with pytest.raises(KeyError), progress(9, "encoding", "image") as bar:
        bar.update()
        raise KeyError
    assert log()[-1].startswith("encoding: 1 of 9 (image) after ")


@pytest.mark.parametrize("unit", ["step", "B"])
def test_a_terminal_gets_a_bar(unit, monkeypatch):
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 100))
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress(2000, "training", unit) as bar:
            bar.update(2000)
            bar.set_postfix(loss="0.5")
    shown = b""
    with os.fdopen(leader, "rb", buffering=0) as screen, contextlib.suppress(OSError):  # at its end
        while part := screen.read(1000):
            shown += part
    shown = shown.decode()
    assert "\r" in shown
    assert "training: 100%" in shown
    assert "loss=0.5" in shown
    assert ("2.00k" in shown) == (unit == "B")
