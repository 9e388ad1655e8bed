"""Where the workflow's artifacts lie, and which source files each stage depends on.

The workflow makes the sources of a stage inputs of its rule, so an edit to `methods/coop.py` reruns
CoOp and what follows from it, and nothing else.
"""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from .config import BackboneConfig, Config, hyperparameters, load_method, split_method
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
    "lookup": (*_CLIP, *_IMAGES, "lookup/*.py"),
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
        patterns.append(f"methods/{split_method(method)[0]}.py")
    files = {file for pattern in patterns for file in _PACKAGE.glob(pattern)}
    return sorted(os.path.relpath(file) for file in files)


def weights(backbone: BackboneConfig) -> list[str]:
    """The files that a backbone is made from, where they are files here."""
    if backbone.pretrained == "miniature":
        return [os.path.relpath(MODELS / f"{backbone.model}.{ending}") for ending in ("json", "safetensors")]
    return [backbone.pretrained] if Path(backbone.pretrained).is_file() else []


def region_flags(methods: Iterable[str], dataset: str, config: Config, config_dir: Path) -> str:
    """Options for the regions that the longest training among some methods sees on one data set."""
    found = [hyperparameters(method, dataset, config, config_dir).get("epochs", 1) for method in methods]
    regions = config.regions.for_epochs(max(found, default=1))
    least, greatest = regions.scale
    return f"--regions {regions.count} --region-seed {regions.seed} --region-scale {least} {greatest}"


def sees_pixels(config: Config, config_dir: Path) -> list[str]:
    """The configured trainings whose every step sees images, boosting among them."""
    boosting = ["boosting"] if any(split_method(method)[1] for method in config.methods) else []
    entries = {method: load_method(method, config_dir) for method in config.methods}
    return boosting + [m for m, entry in entries.items() if entry.learns and entry.looks_up != "cascade"]


def feature_kind(method: str, config_dir: Path) -> str | None:
    """Which of the student's features a method looks up: "plain", "boosted" (through a boosting prompt)."""
    looks_up = load_method(method, config_dir).looks_up
    return "boosted" if looks_up == "cascade" and split_method(method)[1] else looks_up and "plain"


def seed_batches(config: Config) -> list[list[int]]:
    """The seeds of the base-to-novel protocol, cut into jobs."""
    seeds, size = config.protocols.base_to_novel.seeds, config.jobs.seeds_per_job
    return [seeds[start : start + size] for start in range(0, len(seeds), size)]


def methods_that_look_up(kind: str, config: Config, config_dir: Path) -> list[str]:
    """The configured methods that train on looked-up features of this kind."""
    learning = [method for method in config.methods if load_method(method, config_dir).learns]
    return [method for method in learning if feature_kind(method, config_dir) == kind]


def flags(name: str, values: Iterable[object]) -> str:
    """Repeated options of a command line, quoted for the shell: "--seed 1 --seed 2"."""
    return " ".join(f"--{name} {shlex.quote(str(value))}" for value in values)
