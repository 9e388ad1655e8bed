"""Where the workflow's artifacts lie, and which source files each stage depends on.

The workflow makes the sources of a stage inputs of its rule, so an edit to `methods/coop.py` reruns
CoOp and what follows from it, and nothing else.
"""

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from .config import BackboneConfig, Config, hyperparameters, load_method, split_method
from .errors import UserError
from .miniature import MODELS

_PACKAGE = Path(__file__).parent
_CLIP = ("compat.py", "clip/*.py")
_IMAGES = ("data/images.py", "data/loading.py", "data/region_store.py", "data/splits.py", "shards.py")
_METHODS = ("methods/__init__.py", "methods/base.py")
_TRAINING = (*_CLIP, *_IMAGES, *_METHODS, "lookup/store.py", "training/*.py")
_STAGES = {
    "data": ("data/download.py", "data/receipt.py", "data/splits.py"),
    "pictures": ("miniature/datasets.py", "miniature/pictures.py"),
    "split": ("data/splits.py",),
    "regions": (*_IMAGES, "data/region_build.py"),
    "lookup": (*_CLIP, *_IMAGES, "lookup/*.py", "training/artifact.py"),
    "boosting": (*_TRAINING, "methods/boosting.py"),
    "adapting": _TRAINING,
    "evaluation": (
        *_CLIP,
        *_IMAGES,
        *_METHODS,
        "lookup/store.py",
        "evaluation/predict.py",
        "training/artifact.py",
    ),
    "metrics": ("evaluation/metrics.py",),
    "tables": ("report/*.py", "report/*.j2"),
}


def sources(*stages: str, method: str | None = None) -> list[str]:
    """Source files of some stages, and of one method, relative to the current folder."""
    patterns = [pattern for stage in stages for pattern in _STAGES[stage]]
    if method is not None:
        patterns += _method_files(split_method(method)[0])
    files = {file for pattern in patterns for file in _PACKAGE.glob(pattern)}
    return sorted(os.path.relpath(file) for file in files)


def _method_files(name: str) -> list[str]:
    """The file of a method, and of those that it builds on."""
    file = _PACKAGE / "methods" / f"{name}.py"
    parents = re.findall(r"^from \.(\w+) import", file.read_text(), re.MULTILINE) if file.is_file() else []
    return [f"methods/{name}.py", *(found for parent in parents for found in _method_files(parent))]


def weights(backbone: BackboneConfig) -> list[str]:
    """The files that a backbone is made from, where they are files here."""
    if backbone.pretrained == "miniature":
        return [os.path.relpath(MODELS / f"{backbone.model}.{ending}") for ending in ("json", "safetensors")]
    return [backbone.pretrained] if Path(backbone.pretrained).is_file() else []


def region_count(method: str, dataset: str, config: Config, config_dir: Path) -> int:
    """Random regions of an image that the training of a method, or "boosting", sees on one data set."""
    epochs = hyperparameters(method, dataset, config, config_dir).get("epochs")
    try:
        return config.regions.for_epochs(int(epochs)).count  # the command line gives strings
    except (TypeError, ValueError):
        raise UserError(
            f"{method}: epochs is {epochs!r}, but must be a whole number of at least 1."
        ) from None


def sees_pixels(method: str, config_dir: Path) -> bool:
    """Whether every training step of a method sees images, and not only looked-up features."""
    entry = load_method(method, config_dir)
    return entry.learns and entry.looks_up != "cascade"


def feature_kind(method: str, config_dir: Path) -> str | None:
    """Which of the student's features a method looks up: "plain", "boosted" (through a boosting prompt)."""
    looks_up = load_method(method, config_dir).looks_up
    return "boosted" if looks_up == "cascade" and split_method(method)[1] else looks_up and "plain"


def seed_batches(config: Config) -> list[list[int]]:
    """The seeds of the base-to-novel protocol, cut into jobs."""
    seeds, size = config.protocols.base_to_novel.seeds, config.jobs.seeds_per_job
    return [seeds[start : start + size] for start in range(0, len(seeds), size)]


def flags(name: str, values: Iterable[object]) -> str:
    """Repeated options of a command line, quoted for the shell: "--seed 1 --seed 2"."""
    return " ".join(f"--{name} {shlex.quote(str(value))}" for value in values)
