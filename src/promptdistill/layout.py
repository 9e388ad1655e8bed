"""Where the workflow's artifacts lie, and which source files each stage depends on.

The workflow makes the sources of a stage inputs of its rule, so an edit to `methods/coop.py` reruns
CoOp and what follows from it, and nothing else.
"""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from .config import BackboneConfig, Config, split_method
from .miniature import MODELS

_PACKAGE = Path(__file__).parent
_CLIP = ("compat.py", "clip/*.py")
_TRAINING = (
    *_CLIP,
    "data/images.py",
    "data/splits.py",
    "lookup/store.py",
    "training/*.py",
    "methods/base.py",
)
_STAGES = {
    "data": ("data/download.py", "data/receipt.py", "data/splits.py", "miniature/datasets.py"),
    "pictures": ("miniature/pictures.py",),
    "split": ("data/splits.py",),
    "lookup": (*_CLIP, "data/images.py", "data/splits.py", "lookup/*.py"),
    "boosting": (*_TRAINING, "methods/boosting.py"),
    "adapting": _TRAINING,
    "evaluation": (*_CLIP, "data/images.py", "data/splits.py", "evaluation/predict.py", "methods/base.py"),
    "metrics": ("evaluation/metrics.py",),
    "tables": ("report/*",),
}


def sources(*stages: str, method: str | None = None) -> list[str]:
    """Source files of some stages, and of one method, relative to the current folder."""
    patterns = [pattern for stage in stages for pattern in _STAGES[stage]]
    if method is not None:
        patterns.append(f"methods/{split_method(method)[0]}.py")
    files = {file for pattern in patterns for file in _PACKAGE.glob(pattern)}
    return sorted(os.path.relpath(file) for file in files)


def weights(backbone: BackboneConfig) -> list[str]:
    """The weights file of a backbone, if it is a file here."""
    if backbone.pretrained == "miniature":
        return [os.path.relpath(MODELS / f"{backbone.model}.safetensors")]
    return [backbone.pretrained] if Path(backbone.pretrained).is_file() else []


def seed_batches(config: Config) -> list[list[int]]:
    """The seeds of the base-to-novel protocol, cut into jobs."""
    seeds, size = config.protocols.base_to_novel.seeds, config.jobs.seeds_per_job
    return [seeds[start : start + size] for start in range(0, len(seeds), size)]


def flags(name: str, values: Iterable[object]) -> str:
    """Repeated options of a command line, quoted for the shell: "--seed 1 --seed 2"."""
    return " ".join(f"--{name} {shlex.quote(str(value))}" for value in values)
