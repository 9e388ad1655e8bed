"""The two training stages: boosting prompts (once a data set) and adapting prompts (per method and seed)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..clip.backbone import Backbone
from ..config import Regions, split_method
from ..data.splits import Item, Split, of_labels
from ..errors import UserError
from ..files import sha256, sha256_of_json, write_json
from ..lookup.store import MANIFEST, RegionLookup
from ..methods import find_method, parse_hyperparameters
from ..methods.base import Method, Task
from ..provenance import versions
from .artifact import Header, load_frozen, save_prompt
from .loop import train


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What both stages need to know about the data set and the machine."""

    dataset: str
    split: Split
    split_sha256: str
    image_folder: Path
    template: str
    student: Backbone
    regions: Regions
    threads: int
    workers: int


def history_path(prompt: Path) -> Path:
    """Where the loss and learning-rate curve of a prompt lies: beside it."""
    return prompt.with_suffix(".history.json")


def train_boosting(
    setting: Setting, lookup_folder: Path, hyperparameters: dict[str, Any], seed: int, output: Path
) -> None:
    """Learn boosting prompts from the looked-up teacher on all training images, labels unused."""
    lookup = RegionLookup(lookup_folder)
    lookup.require(split_sha256=setting.split_sha256, regions=setting.regions)
    config = parse_hyperparameters("boosting", hyperparameters)
    task = Task(
        backbone=setting.student,
        class_names=setting.split.class_names(setting.split.labels),
        template=setting.template,
        config=config,
        generator=torch.Generator().manual_seed(seed),
        lookup=lookup,
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


def train_adapting(
    setting: Setting,
    draw: Split,
    method: str,
    hyperparameters: dict[str, Any],
    boosting: Path | None,
    *,
    protocol: str,
    labels: list[int],
    shots: int,
    seed: int,
    output: Path,
) -> None:
    """Learn one method's adapting prompts on the few shots of `draw` with one of `labels`.

    `boosting` is the frozen prompt that a method with the suffix "+caspl" is cascaded on.
    """
    base_name, cascaded = split_method(method)
    if cascaded != (boosting is not None):
        raise UserError(
            f"{method} needs a boosting prompt."
            if cascaded
            else f"{method} takes no boosting prompt: name it {method}+caspl, or leave the prompt out."
        )
    config = parse_hyperparameters(base_name, hyperparameters)
    task = Task(
        backbone=setting.student,
        class_names=setting.split.class_names(labels),
        template=setting.template,
        config=config,
        generator=torch.Generator().manual_seed(seed),
        frozen=[load_frozen(boosting, setting.student)] if boosting else [],
    )
    header = _header(
        setting,
        phase="adapting",
        method=method,
        hyperparameters=config.model_dump(),
        class_names=task.class_names,
        protocol=protocol,
        shots=shots,
        seed=seed,
        boosting_sha256=sha256(boosting) if boosting else None,
    )
    items = of_labels(draw.train, labels)
    _train_and_save(find_method(base_name)(task), items, setting, header, output)


def _header(setting: Setting, **own: Any) -> Header:
    return Header(
        dataset=setting.dataset,
        split_sha256=setting.split_sha256,
        template=setting.template,
        student=setting.student.config,
        student_sha256=setting.student.weights_sha256,
        regions=setting.regions,
        threads=setting.threads,
        versions=versions(),
        **own,
    )


def _train_and_save(
    method: Method, items: list[Item], setting: Setting, header: Header, output: Path
) -> None:
    history = train(
        method,
        items,
        setting.image_folder,
        seed=header.seed,
        regions=setting.regions,
        workers=setting.workers,
        checkpoint=output.with_suffix(".checkpoint"),
        fingerprint=sha256_of_json(header.model_dump()),
    )
    write_json(history_path(output), history)
    save_prompt(output, method.final_tensors(), header)
