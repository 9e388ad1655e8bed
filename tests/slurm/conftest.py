"""A real Slurm controller for the tests of this folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from services import absent

HERE = Path(__file__).parent
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
CONFIGURATION = Path("/etc/slurm/slurm.conf")


@pytest.fixture(scope="session")
def cluster():
    """A cluster of one node, with two make-believe GPUs; stopped in the end."""
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    if missing:
        absent(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        absent("Slurm's daemons need root")
    if CONFIGURATION.exists():
        if not _left_behind():
            absent("Slurm is configured already (tests/slurm/up.sh down takes away what it has put there)")
        subprocess.run([HERE / "up.sh", "down"], check=True)
    try:
        subprocess.run([HERE / "up.sh"], check=True)
        yield
    finally:
        subprocess.run([HERE / "up.sh", "down"], check=True)


def _left_behind():
    """Whether the configuration is up.sh's, and its controller is gone: a killed run could not clean up."""
    ours = "# Written by tests/slurm/up.sh" in CONFIGURATION.read_text()
    running = subprocess.run(["pgrep", "-x", "slurmctld"], capture_output=True, check=False)
    return ours and running.returncode != 0
