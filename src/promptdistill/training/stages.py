"""Training stages: from a teacher's answers (boosting prompts, students), and from few shots (adapting)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..clip.backbone import Backbone
from ..config import Regions, Training
from ..data.protocols import training_labels
from ..data.splits import Item, Split, read_draw, select_and_relabel, validation_images
from ..errors import UserError
from ..features.loading import WholeImages, load
from ..features.lookup import MANIFEST, LookupSubset, RegionLookup
from ..features.region_store import images_sha256, open_store
from ..files import sha256, sha256_of_json, write_json
from ..methods import find_method, parse_hyperparameters
from ..methods.base import Examples, FittedMethod, Method, MethodContext
from ..provenance import code_sha256, versions
from ..run import family, split_method
from .artifact import Header, load_frozen, save_prompt
from .batches import PickedRegions
from .loop import train

_CODE = (
    "clip/*.py",
    "data/images.py",
    "data/loading.py",
    "data/protocols.py",
    "data/region_store.py",
    "lookup/store.py",
    "methods/*.py",
    "training/*.py",
)


_WHOLE_IMAGES = 64  # encoded at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingInputs:
    """What both stages need to know about the data set and the machine.

    `regions` None stands for whole images.  `store` is the folder of stored regions of all training
    images, if there is one.
    """

    dataset: str
    split: Split
    split_sha256: str
    image_folder: Path
    template: str
    student: Backbone
    regions: Regions | None
    store: Path | None
    threads: int
    workers: int


def history_path(prompt: Path) -> Path:
    """Where the loss and learning-rate curve of a prompt lies: beside it."""
    return prompt.with_suffix(".history.json")


def checkpoint_path(prompt: Path) -> Path:
    """Where an unfinished training of a prompt waits: beside it."""
    return prompt.with_suffix(".checkpoint")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training of a job: its seed, its number of shots, and where its prompt goes.

    `draw` is the few-shot draw; training on a teacher's answers has none.  `features` is a lookup of the
    draw's image features, for a method that needs them.
    """

    seed: int
    output: Path
    shots: int | None = None
    draw: Path | None = None
    features: Path | None = None


def train_distilled(
    setting: TrainingInputs,
    runs: list[Run],
    method: str,
    hyperparameters: dict[str, Any],
    lookup_folder: Path,
    *,
    protocol: Training | None = None,
) -> None:
    """Learn from the looked-up teacher on all training images, labels unused: "boosting" or a student.

    A boosting prompt (no `protocol`) asks the zero-shot teacher, with its template; a student the tuned one.
    """
    kind = find_method(method)
    if not kind.unlabelled:
        raise UserError(f"{method} learns from few labelled shots, not from a teacher: train it with adapt.")
    split, class_names = setting.split, setting.split.class_names(setting.split.labels)
    lookup = RegionLookup(lookup_folder)
    lookup.require(images_sha256=images_sha256(split.train))
    lookup.require_regions(setting.regions)
    lookup.require_classifier(None if protocol else setting.template, class_names)
    config = parse_hyperparameters(method, hyperparameters)
    for run in runs:
        task = MethodContext(
            backbone=setting.student,
            class_names=class_names,
            template=setting.template,
            config=config,
            generator=torch.Generator().manual_seed(run.seed),
            teacher=lookup,
            teacher_text=lookup.text,
        )
        header = _header(
            setting,
            phase="adapting" if protocol else "boosting",
            method=method,
            hyperparameters=config.model_dump(),
            class_names=class_names,
            protocol=protocol,
            shots=run.shots,
            seed=run.seed,
            lookup_sha256=sha256(lookup_folder / MANIFEST),
        )
        _train_and_save(kind(task), split.train, setting, header, run.output)
    _forget_checkpoints(runs)


def train_adapting(
    setting: TrainingInputs,
    runs: list[Run],
    method: str,
    hyperparameters: dict[str, Any],
    boosting: Path | None,
    *,
    protocol: Training,
    lookup_folder: Path | None = None,
) -> None:
    """Learn one method's adapting prompts, run by run, on the few shots of the protocol's classes.

    `boosting` is the frozen prompt that a method with the suffix "+caspl" is cascaded on; the lookup
    holds the zero-shot teacher's answers for all training images, for a method that asks it.  Finished
    runs keep their checkpoints until all are done, so an interrupted job does not repeat them.
    """
    name, cascaded = family(method), split_method(method)[1]
    kind = find_method(name)
    if kind.unlabelled:
        raise UserError(f"{method} learns from a teacher, without labels: train it with distill or boost.")
    if cascaded != (boosting is not None):
        raise UserError(
            f"{method} needs a boosting prompt."
            if cascaded
            else f"{method} takes no boosting prompt: name it {method}+caspl, or leave the prompt out."
        )
    if setting.regions is None and not issubclass(kind, FittedMethod):
        raise UserError(f"{method} is trained on random regions: say how many, with --regions.")
    if kind.asks_teacher and lookup_folder is None:
        raise UserError(f"{method} learns from a teacher's answers: name their lookup with --lookup.")
    labels = training_labels(setting.split, protocol)
    config = parse_hyperparameters(name, hyperparameters)
    boosting_sha256 = sha256(boosting) if boosting else None
    for run in runs:
        draw = read_draw(run.draw)
        items = select_and_relabel(draw.train, labels)
        task = MethodContext(
            backbone=setting.student,
            class_names=setting.split.class_names(labels),
            template=setting.template,
            config=config,
            generator=torch.Generator().manual_seed(run.seed),
            frozen=[load_frozen(boosting, setting.student)] if boosting else [],
            teacher=_teacher_of(lookup_folder, draw.train, labels, setting),
            **_looked_up(run.features, items, setting, boosting_sha256),
        )
        header = _header(
            setting,
            phase="adapting",
            method=method,
            hyperparameters=config.model_dump(),
            class_names=task.class_names,
            protocol=protocol,
            shots=run.shots,
            draw_sha256=sha256(run.draw),
            seed=run.seed,
            boosting_sha256=boosting_sha256,
            lookup_sha256=sha256(run.features / MANIFEST) if run.features else None,
            teacher_sha256=sha256(lookup_folder / MANIFEST) if lookup_folder else None,
        )
        learner = kind(task)
        if isinstance(learner, FittedMethod):
            val = validation_images(setting.split, draw, run.shots, run.seed)
            _fit_and_save(learner, items, select_and_relabel(val, labels), setting, header, run.output)
        else:
            _train_and_save(learner, items, setting, header, run.output)
    _forget_checkpoints(runs)


def _forget_checkpoints(runs: list[Run]) -> None:
    for run in runs:
        checkpoint_path(run.output).unlink(missing_ok=True)


def _teacher_of(
    folder: Path | None, drawn: list[Item], labels: list[int], setting: TrainingInputs
) -> LookupSubset | None:
    """The zero-shot teacher's answers for the drawn images of some labels; checked."""
    if folder is None:
        return None
    split = setting.split
    lookup = RegionLookup(folder)
    lookup.require(images_sha256=images_sha256(split.train))
    lookup.require_regions(setting.regions)
    lookup.require_classifier(setting.template, split.class_names(split.labels))
    row = {item.path: number for number, item in enumerate(split.train)}
    images = [row[item.path] for item in select_and_relabel(drawn, labels)]
    places = [split.labels.index(label) for label in labels]
    return LookupSubset(lookup, images, places, setting.regions.count)


def _looked_up(
    folder: Path | None, items: list[Item], setting: TrainingInputs, boosting_sha256: str | None
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


def _header(setting: TrainingInputs, **own: Any) -> Header:
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
    method: Method, items: list[Item], setting: TrainingInputs, header: Header, output: Path
) -> None:
    if setting.regions is None:
        raise UserError(f"{header.method} is trained on random regions: say how many, with --regions.")
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


def _fit_and_save(
    method: FittedMethod,
    train: list[Item],
    val: list[Item],
    setting: TrainingInputs,
    header: Header,
    output: Path,
) -> None:
    history = method.fit(_examples(method, train, setting), _examples(method, val, setting))
    write_json(history_path(output), history)
    save_prompt(output, method.final_tensors(), header)


@torch.no_grad()
def _examples(method: Method, items: list[Item], setting: TrainingInputs) -> Examples:
    """Features of whole images, prepared as the model is tested, and their labels."""
    student = setting.student
    whole = WholeImages(items, setting.image_folder, student.preprocess)
    loader = DataLoader(whole, batch_size=_WHOLE_IMAGES, num_workers=setting.workers)
    features = [
        method.encode_images(pixels.flatten(0, 1).to(student.device)).cpu() for pixels, _ in load(loader)
    ]
    empty = torch.empty(0, student.feature_dim)
    return Examples(torch.cat([empty, *features]), torch.tensor([item.label for item in items]))
