"""The two training stages: boosting prompts (once a data set) and adapting prompts (per method and seed)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..clip.backbone import Backbone
from ..config import Regions, split_method
from ..data.region_store import images_sha256, open_store
from ..data.splits import Item, Split, of_labels, read_draw
from ..errors import UserError
from ..files import sha256, sha256_of_json, write_json
from ..lookup.store import MANIFEST, RegionLookup
from ..methods import find_method, parse_hyperparameters
from ..methods.base import Method, Task
from ..provenance import code_sha256, versions
from .artifact import Header, load_frozen, save_prompt
from .batches import PickedRegions
from .loop import train

_CODE = (
    "clip/*.py",
    "data/images.py",
    "data/loading.py",
    "data/region_store.py",
    "lookup/store.py",
    "methods/*.py",
    "training/*.py",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What both stages need to know about the data set and the machine.

    `store` is the folder of stored regions of all training images, if there is one.
    """

    dataset: str
    split: Split
    split_sha256: str
    image_folder: Path
    template: str
    student: Backbone
    regions: Regions
    store: Path | None
    threads: int
    workers: int


def history_path(prompt: Path) -> Path:
    """Where the loss and learning-rate curve of a prompt lies: beside it."""
    return prompt.with_suffix(".history.json")


def checkpoint_path(prompt: Path) -> Path:
    """Where an unfinished training of a prompt waits: beside it."""
    return prompt.with_suffix(".checkpoint")


def train_boosting(
    setting: Setting, lookup_folder: Path, hyperparameters: dict[str, Any], seed: int, output: Path
) -> None:
    """Learn boosting prompts from the looked-up teacher on all training images, labels unused."""
    lookup = RegionLookup(lookup_folder)
    lookup.require(images_sha256=images_sha256(setting.split.train), prompt_sha256=None)
    lookup.require_regions(setting.regions)
    class_names = setting.split.class_names(setting.split.labels)
    lookup.require_classifier(setting.template, class_names)
    config = parse_hyperparameters("boosting", hyperparameters)
    task = Task(
        backbone=setting.student,
        class_names=class_names,
        template=setting.template,
        config=config,
        generator=torch.Generator().manual_seed(seed),
        teacher=lookup,
    )
    header = _header(
        setting,
        phase="boosting",
        method="boosting",
        hyperparameters=config.model_dump(),
        class_names=task.class_names,
        seed=seed,
        lookup_sha256=sha256(lookup_folder / MANIFEST),
    )
    _train_and_save(find_method("boosting")(task), setting.split.train, setting, header, output)
    checkpoint_path(output).unlink()


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One seed of an adapting job: its few-shot draw, and where its prompt goes.

    `features` is a lookup of the draw's image features, for a method that needs them.
    """

    seed: int
    draw: Path
    output: Path
    features: Path | None = None


def train_adapting(
    setting: Setting,
    runs: list[Run],
    method: str,
    hyperparameters: dict[str, Any],
    boosting: Path | None,
    *,
    protocol: str,
    labels: list[int],
    shots: int,
) -> None:
    """Learn one method's adapting prompts, seed by seed, on the few shots with one of `labels`.

    `boosting` is the frozen prompt that a method with the suffix "+caspl" is cascaded on.  Finished
    seeds keep their checkpoints until all are done, so an interrupted job does not repeat them.
    """
    base_name, cascaded = split_method(method)
    if cascaded != (boosting is not None):
        raise UserError(
            f"{method} needs a boosting prompt."
            if cascaded
            else f"{method} takes no boosting prompt: name it {method}+caspl, or leave the prompt out."
        )
    config = parse_hyperparameters(base_name, hyperparameters)
    boosting_sha256 = sha256(boosting) if boosting else None
    for run in runs:
        items = of_labels(read_draw(run.draw).train, labels)
        task = Task(
            backbone=setting.student,
            class_names=setting.split.class_names(labels),
            template=setting.template,
            config=config,
            generator=torch.Generator().manual_seed(run.seed),
            frozen=[load_frozen(boosting, setting.student)] if boosting else [],
            **_looked_up(run.features, items, setting, boosting_sha256),
        )
        header = _header(
            setting,
            phase="adapting",
            method=method,
            hyperparameters=config.model_dump(),
            class_names=task.class_names,
            protocol=protocol,
            shots=shots,
            draw_sha256=sha256(run.draw),
            seed=run.seed,
            boosting_sha256=boosting_sha256,
            lookup_sha256=sha256(run.features / MANIFEST) if run.features else None,
        )
        _train_and_save(find_method(base_name)(task), items, setting, header, run.output)
    for run in runs:
        checkpoint_path(run.output).unlink()


def _looked_up(
    folder: Path | None, items: list[Item], setting: Setting, boosting_sha256: str | None
) -> dict[str, RegionLookup]:
    """The parts of a task that come from a lookup of the student's own features; checked."""
    if folder is None:
        return {}
    lookup = RegionLookup(folder)
    seen = lookup.manifest.origin.prompt_sha256
    lookup.require(
        images_sha256=images_sha256(items),
        encoder=setting.student.config,
        encoder_sha256=setting.student.weights_sha256,
        precision=setting.student.precision,
        prompt_sha256=seen and boosting_sha256,
        dtype="float32",
    )
    lookup.require_regions(setting.regions)
    kinds = {"plain_features": seen is None, "cascade_features": seen == boosting_sha256}
    return {kind: lookup for kind, holds in kinds.items() if holds}


def _header(setting: Setting, **own: Any) -> Header:
    return Header(
        dataset=setting.dataset,
        split_sha256=setting.split_sha256,
        template=setting.template,
        student=setting.student.config,
        student_sha256=setting.student.weights_sha256,
        regions=setting.regions,
        precision=setting.student.precision,
        threads=setting.threads,
        versions=versions(),
        **own,
    )


def _train_and_save(
    method: Method, items: list[Item], setting: Setting, header: Header, output: Path
) -> None:
    store = open_store(setting.store, setting.split.train, setting.regions, setting.student.size)
    dataset = PickedRegions(items, setting.image_folder, setting.regions, setting.student.size, store)
    history = train(
        method,
        dataset,
        seed=header.seed,
        workers=setting.workers,
        checkpoint=checkpoint_path(output),
        fingerprint=sha256_of_json([header.model_dump(), code_sha256(*_CODE)]),
    )
    write_json(history_path(output), history)
    save_prompt(output, method.final_tensors(), header)
