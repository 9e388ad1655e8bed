"""What a result was made by: package versions and the commit of the working tree.

Which files it was made from, each artifact says itself (`artifacts`).
"""

import importlib.metadata
import platform
import subprocess

_PACKAGES = ("promptdistill", "torch", "open_clip_torch", "numpy", "pandas", "pillow", "snakemake")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version()} | {
        package: importlib.metadata.version(package) for package in _PACKAGES
    }


def commit() -> str:
    """The git commit of the current folder, with "+changes" where files differ; "unknown" outside git.

    What a run itself writes, dvc.lock and the tables, does not count.
    """
    try:
        described = _git("describe", "--always", "--abbrev=12", "--exclude=*")
        made = [f":(exclude){path}" for path in ("dvc.lock", "results")]
        changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *made)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described + ("+changes" if changes else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
