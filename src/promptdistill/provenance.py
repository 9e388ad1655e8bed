"""Where a result comes from: package versions and the commit of the working tree."""

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
    """The git commit of the current folder, with "+changes" where files differ; "unknown" outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
