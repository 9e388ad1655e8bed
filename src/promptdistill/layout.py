"""Where the workflow's artifacts lie, and which source files each stage depends on.

The workflow makes the sources of a stage inputs of its rule, so an edit to `methods/coop.py` reruns
CoOp and what follows from it, and nothing else.
"""

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from .config import (
    BackboneConfig,
    Config,
    Regions,
    Training,
    family,
    hyperparameters,
    known_names,
    load_method,
    split_method,
    validate,
)
from .errors import UserError
from .miniature import MODELS

# Paths below the folder of results.
RUN = "{shots}shots_seed{seed}"
SPLIT = "splits/{dataset}/split.json"
DRAW = "splits/{dataset}/{shots}shots_seed{seed}.json"
# A longer training sees more regions, so its features and stored regions are its own: then no method
# reruns because of another.
STORED_REGIONS = "regions/{dataset}/{crops}/manifest.json"
LOOKUP = "lookup/{dataset}/{teacher}/{crops}regions"
DRAW_FEATURES = "features/{dataset}/{kind}/{crops}regions/{protocol}/{shots}shots_seed{seed}"
TEST_FEATURES = "features/{dataset}/{kind}/test"
# One for all methods of the protocols that train and test on one data set, one for transfer to others.
BOOSTING = "boosting/{dataset}/{kind}.safetensors"
# A teacher that PromptSRC tuned on the first seed's few shots; lookups name it by TUNED.
TEACHER_PROMPT = "teachers/{dataset}/{protocol}_{shots}shots.safetensors"
TUNED = "{protocol}_{shots}shots"
# Folders of one data set and method.
ADAPTING = "adapting/{protocol}/{dataset}/{method}"
PREDICTIONS = "predictions/{protocol}/{dataset}/{method}"

_PACKAGE = Path(__file__).parent
_CLIP = ("compat.py", "clip/*.py")
_IMAGES = ("data/images.py", "data/loading.py", "data/region_store.py", "data/splits.py", "shards.py")
_METHODS = ("methods/__init__.py", "methods/base.py")
_TRAINING = (*_CLIP, *_IMAGES, *_METHODS, "lookup/store.py", "training/*.py")
_LOOKUP = (*_CLIP, *_IMAGES, "lookup/*.py", "training/artifact.py")
_STAGES = {
    "data": ("data/download.py", "data/receipt.py", "data/splits.py"),
    "pictures": ("miniature/datasets.py", "miniature/pictures.py"),
    "split": ("data/splits.py",),
    "regions": (*_IMAGES, "data/region_build.py"),
    "lookup": _LOOKUP,
    "features": (*_LOOKUP, "data/protocols.py"),
    "boosting": (*_TRAINING, "methods/boosting.py"),
    "adapting": (*_TRAINING, "data/protocols.py"),
    "evaluation": (
        *_CLIP,
        *_IMAGES,
        *_METHODS,
        "data/protocols.py",
        "lookup/store.py",
        "evaluation/predict.py",
        "methods/boosting.py",
        "training/artifact.py",
    ),
    "metrics": ("data/protocols.py", "evaluation/metrics.py"),
    "tables": ("report/*.py", "report/*.j2"),
    "tracking": ("tracking/*.py",),
}


def sources(*stages: str, method: str | None = None) -> list[str]:
    """Source files of some stages, and of one method, relative to the current folder."""
    patterns = [pattern for stage in stages for pattern in _STAGES[stage]]
    if method is not None:
        patterns += _method_files(family(method))
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


def regions_of(
    method: str, dataset: str, config: Config, config_dir: Path, training: Training = "base_to_novel"
) -> Regions:
    """The random regions of an image that the training of a method, or "boosting", sees on one data set.

    One an epoch, unless the method's `regions` or the experiment's `regions.count` say less; of the
    experiment's scale, unless the method's `region_scale` says another.
    """
    own = hyperparameters(method, dataset, config, config_dir, training)
    seen = _whole(method, "epochs", own.get("epochs"))
    if own.get("regions") is not None:
        seen = min(seen, _whole(method, "regions", own["regions"]))
    drawn = config.regions.for_epochs(seen)
    if own.get("region_scale") is None:
        return drawn
    return validate(Regions, drawn.model_dump() | {"scale": own["region_scale"]}, f"{method}: region_scale")


def name_of_runs(runs: Iterable[tuple[int, int]]) -> str:
    """The name, in paths, of the (shots, seed) that one job trains: "1shots_seed1-2_2shots_seed1"."""
    seeds: dict[int, list[str]] = {}
    for shots, seed in runs:
        seeds.setdefault(shots, []).append(str(seed))
    return "_".join(RUN.format(shots=shots, seed="-".join(own)) for shots, own in seeds.items())


def name_of_regions(regions: Regions, config: Config) -> str:
    """What regions are called in paths: "20", or "20_0.08to1.0" where their scale is not the experiment's."""
    scale = "" if regions.scale == config.regions.scale else "_{}to{}".format(*regions.scale)
    return f"{regions.count}{scale}"


def named_regions(name: str, config: Config) -> Regions:
    """The regions of a name that `name_of_regions` gave."""
    count, _, scale = name.partition("_")
    own = {"scale": tuple(map(float, scale.split("to")))} if scale else {}
    return config.regions.for_epochs(int(count)).model_copy(update=own)


def region_flags(regions: Regions) -> str:
    """The options of commands that say which regions are drawn."""
    least, greatest = regions.scale
    return f"--regions {regions.count} --region-seed {regions.seed} --region-scale {least} {greatest}"


def _whole(method: str, key: str, value: object) -> int:
    """A whole number of at least 1; the command line gives strings."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise UserError(f"{method}: {key} is {value!r}, but must be a whole number of at least 1.")
    return number


def sees_pixels(method: str, config_dir: Path) -> bool:
    """Whether every training step of a method sees regions of images, and not only looked-up features."""
    entry = load_method(method, config_dir)
    return entry.learns_from in ("regions", "teacher") and entry.looks_up != "cascade"


def feature_kind(method: str, config_dir: Path, training: Training = "base_to_novel") -> str | None:
    """Which of the student's features a method looks up: "plain", or "boosted" through a boosting prompt."""
    looks_up = load_method(method, config_dir).looks_up
    if looks_up == "cascade" and split_method(method)[1]:
        return boosting_kind(training)
    return looks_up and "plain"


def boosting_kind(training: Training) -> str:
    """Which boosting prompt of a data set a protocol takes: prompts for other data sets are shallower."""
    return "boosted_transfer" if training == "transfer" else "boosted"


def learning_from(what: str, config_dir: Path) -> list[str]:
    """Names of all methods that learn from regions, images, a teacher, or nothing."""
    names = known_names(config_dir / "methods")
    return [name for name in names if load_method(name, config_dir).learns_from == what]


def flags(name: str, values: Iterable[object]) -> str:
    """Repeated options of a command line, quoted for the shell: "--seed 1 --seed 2"."""
    return " ".join(f"--{name} {shlex.quote(str(value))}" for value in values)
