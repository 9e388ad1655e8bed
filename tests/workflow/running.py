"""Running the real Snakemake on the real workflow, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FAST = Path(__file__).parent / "fast.yaml"
ARTIFACTS = (
    "adapting",
    "boosting",
    "features",
    "lookup",
    "metrics",
    "predictions",
    "regions",
    "splits",
    "tables",
)


def copy_project(folder):
    """Copy the workflow and its sources, to run and to edit."""
    for name in ("src", "workflow", "config", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "slurm").symlink_to("profiles/slurm")


def start_snakemake(*arguments, cwd, settings=None, **options):
    """Start Snakemake in `cwd` with that folder's own copy of the package; `settings` of the environment."""
    bin_folder = Path(sys.executable).parent
    elsewhere = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")  # where a developer's own runs go
    environment = {
        **{name: value for name, value in os.environ.items() if name not in elsewhere},
        "PYTHONPATH": str(cwd / "src"),
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        **(settings or {}),
    }
    command = [bin_folder / "snakemake", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, **streams)


def run_snakemake(*arguments, cwd, settings=None):
    """Run Snakemake to its end: the finished process, with its output."""
    process = start_snakemake(*arguments, cwd=cwd, settings=settings)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def jobs(output):
    """Rule -> number of jobs, from the table that Snakemake prints."""
    rows = re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)
    return {name: int(count) for name, count in rows if name != "total"}


def artifacts(project):
    """Bytes of every result that must be the same again."""
    results = project / "results"
    return {
        str(path.relative_to(results)): path.read_bytes()
        for stage in ARTIFACTS
        for path in sorted((results / stage).rglob("*"))
        if path.is_file()
    }
