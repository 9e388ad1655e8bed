"""Git and DVC repositories of the project, and the commands that are tried in them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from running import ROOT, copy_project

SMALL = Path(__file__).parent / "small.yaml"
UNVERSIONED = (
    *("logs", "benchmarks", "tracking.json", "mlflow.db", "mlflow.db.lock", "mlflow-artifacts"),
    *(".running", ".steps"),
)
NOTHING = "Nothing to be done"
UP_TO_DATE = "Data and pipelines are up to date."


def make_repository(folder):
    """A repository with the project, whose default pipeline is the small one."""
    copy_project(folder)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc")
    shutil.copy(SMALL, folder / "config/config.yaml")
    run("git init --quiet", folder)
    commit(folder, "project")


def environment(folder):
    """That folder's own copy of the package, and nobody's settings of git and DVC."""
    hidden = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "AWS_"))}
    return hidden | {
        "PYTHONPATH": str(folder / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@localhost",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@localhost",
        "DVC_GLOBAL_CONFIG_DIR": str(folder / ".dvc/tmp/nobody"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / ".dvc/tmp/nobody"),
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def attempt(command, folder):
    """Run a shell command: its status, and all that it printed."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def run(command, folder):
    """Run a shell command that must succeed: what it printed."""
    status, printed = attempt(command, folder)
    assert status == 0, f"{command}\n{printed[-3000:]}"
    return printed


def commit(folder, message):
    run(f"git add --all && git commit --quiet --message '{message}'", folder)


def clone(origin, folder):
    """A fresh clone, which has no results, no cache and no memory of a run."""
    run(f"git clone --quiet {origin} {folder}", origin)
    assert not (folder / "results/adapting").exists()
    assert not (folder / ".snakemake").exists()
    return folder


def nothing_to_do(folder):
    """Whether both, Snakemake and DVC, find everything up to date."""
    return NOTHING in run("snakemake -n", folder) and UP_TO_DATE in run("dvc status", folder)


def trained(printed):
    """The methods that a run, or a dry run, trains."""
    return set(re.findall(r"mini_patterns: learning ([\w+]+),", printed))


def jobs(printed):
    """The rules of the jobs that a dry run plans, without the target."""
    return set(re.findall(r"^(\w+) +\d+$", printed, re.MULTILINE)) - {"total", "all"}


def results(folder):
    """Bytes of every result under version control."""
    made = folder / "results"
    return {
        str(path.relative_to(made)): path.read_bytes()
        for path in sorted(made.rglob("*"))
        if path.is_file() and path.relative_to(made).parts[0] not in (*UNVERSIONED, ".gitignore")
    }


def edit(folder, file, old, new):
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
