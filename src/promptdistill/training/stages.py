"""Training stages: from a teacher's answers (boosting prompts, students), and from few shots (adapting)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..artifacts import Sources, history_path, write_sealed
from ..clip.backbone import Backbone, require_finite
from ..clip.prompt_file import Header, load_frozen, save_prompt
from ..code import fingerprint
from ..config.models import Regions
from ..data.splits import Item, Split, read_split, select_and_relabel, validation_images
from ..errors import UserError
from ..features.loading import WholeImages, load
from ..features.lookup import LookupSubset, RegionLookup
from ..features.region_store import open_store
from ..features.rows import Rows, images_sha256
from ..features.vocabulary import open_vocabulary
from ..files import sha256_of_json
from ..methods import make_method, parse_hyperparameters
from ..methods.base import Examples, FittedMethod, Method, MethodContext
from ..protocols.base import Session
from ..provenance import versions
from ..run import is_cascaded, modules_of
from .batches import PickedRegions
from .loop import train

_WHOLE_IMAGES = 64  # encoded at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingInputs:
    """What all trainings of a job share: the data set, the model, the machine.

    `regions` None stands for whole images.  `files` are those that the method reads, by name.
    """

    dataset: str
    split: Split
    image_folder: Path
    template: str
    student: Backbone
    regions: Regions | None
    threads: int
    workers: int
    files: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training of a job: its seed, its number of shots, where its prompt goes, and what it reads.

    `sources` names the files that are read: split, draw, boosting, answers (a teacher's), features (the
    student's), regions (stored ones), and those of the method's own.
    """

    seed: int
    output: Path
    sources: Sources
    shots: int | None = None


def checkpoint_path(prompt: Path, session: int) -> Path:
    """Where an unfinished training of a prompt waits: beside it."""
    return prompt.with_suffix(f".session{session}.checkpoint")


def train_distilled(
    inputs: TrainingInputs,
    runs: list[Run],
    method: str,
    hyperparameters: dict[str, Any],
    *,
    protocol: str | None = None,
) -> None:
    """Learn from the looked-up teacher on all training images, labels unused: "boosting" or a student.

    A boosting prompt (no `protocol`) asks the zero-shot teacher, with its template; a student the tuned one.
    """
    split = inputs.split
    config = parse_hyperparameters(method, hyperparameters)
    session = Session(labels=split.labels, classes=split.labels)
    for run in runs:
        lookup = _answers(run.sources["answers"], inputs, None if protocol else inputs.template, split.train)
        about = {"phase": "adapting" if protocol else "boosting", "method": method, "protocol": protocol}
        header = _header(inputs, run, config, [session], **about, unlabelled=True)
        context = _context(inputs, run, config, session)
        trained = make_method(method, MethodContext(**context, teacher=lookup, teacher_text=lookup.text))
        history = _train(trained, split.train, inputs, run, header)
        write_sealed(history_path(run.output), {"rows": history})
        save_prompt(run.output, [trained.final_tensors()], header)
    _forget_checkpoints(runs, sessions=1)


def train_adapting(
    inputs: TrainingInputs,
    runs: list[Run],
    method: str,
    hyperparameters: dict[str, Any],
    protocol: str,
    sessions: list[Session],
) -> None:
    """Learn one method's adapting prompts, run by run, on the few shots of a protocol's sessions.

    A method with the suffix "+caspl" is cascaded on the frozen prompt among its sources.  Every session's
    prompt goes on from the one before.  Finished runs keep their checkpoints until all are done, so an
    interrupted job does not repeat them.
    """
    config = parse_hyperparameters(method, hyperparameters)
    about = {"phase": "adapting", "method": method, "protocol": protocol, "unlabelled": False}
    cascaded = is_cascaded(method)
    for run in runs:
        if cascaded != ("boosting" in run.sources):
            needless = f"{method} takes no boosting prompt: name it {method}+caspl, or leave the prompt out."
            raise UserError(f"{method} needs a boosting prompt." if cascaded else needless)
        draw = read_split(run.sources["draw"])
        header = _header(inputs, run, config, sessions, **about)
        learned: list[dict[str, Tensor]] = []
        history: list[dict[str, Any]] = []
        for index, session in enumerate(sessions):
            looked_up = _looked_up(draw, index, sessions, inputs, run)
            context = MethodContext(**_context(inputs, run, config, session) | looked_up)
            trained = make_method(method, context)
            if learned:
                trained.prompt.load_state_dict(learned[-1])
            items = _images(draw.train, session)
            if isinstance(trained, FittedMethod):
                val = _images(validation_images(inputs.split, draw, run.shots, run.seed), session)
                own = trained.fit(_examples(trained, items, inputs), _examples(trained, val, inputs))
            else:
                own = _train(trained, items, inputs, run, header, index)
            history += own if len(sessions) == 1 else [{"session": index + 1, **row} for row in own]
            learned.append({name: tensor.clone() for name, tensor in trained.final_tensors().items()})
        write_sealed(history_path(run.output), {"rows": history})
        save_prompt(run.output, learned, header)
    _forget_checkpoints(runs, len(sessions))


def _forget_checkpoints(runs: list[Run], sessions: int) -> None:
    for run in runs:
        for session in range(sessions):
            checkpoint_path(run.output, session).unlink(missing_ok=True)


def _images(items: list[Item], session: Session) -> list[Item]:
    """The images of a session, with labels that count in its classes."""
    wanted = set(session.labels)
    return select_and_relabel([item for item in items if item.label in wanted], session.classes)


def _answers(folder: Path, inputs: TrainingInputs, template: str | None, images: list[Item]) -> RegionLookup:
    """A teacher's answers for some images, checked; no template: by the teacher's own prompt."""
    split, lookup = inputs.split, RegionLookup(folder.parent)
    lookup.require(images_sha256=images_sha256(images))
    lookup.require_regions(inputs.regions)
    lookup.require_classifier(template, split.class_names(split.labels))
    return lookup


def _context(inputs: TrainingInputs, run: Run, config: Any, session: Session) -> dict[str, Any]:
    """What a method is made from, but for what is looked up."""
    boosting = run.sources.get("boosting")
    return {
        "backbone": inputs.student,
        "dataset": inputs.dataset,
        "class_names": inputs.split.class_names(session.classes),
        "template": inputs.template,
        "config": config,
        "generator": torch.Generator().manual_seed(run.seed),
        "frozen": [load_frozen(boosting, inputs.student)] if boosting else [],
        "files": inputs.files,
    }


def _looked_up(
    draw: Split, index: int, sessions: list[Session], inputs: TrainingInputs, run: Run
) -> dict[str, Any]:
    """What is looked up for one session: the zero-shot teacher's answers, the student's features; checked.

    A vocabulary stands in for the session's class names.
    """
    found, session = {}, sessions[index]
    items = _images(draw.train, session)
    # Lookups are of the images of all sessions, in the draw's order.
    every_label = [label for one in sessions for label in one.labels]
    drawn = select_and_relabel(draw.train, every_label)
    if "answers" in run.sources:
        lookup = _answers(run.sources["answers"], inputs, inputs.template, drawn)
        rows = Rows(drawn, lookup.folder).of(items)
        if "vocabulary" in run.sources:
            folder = run.sources["vocabulary"].parent
            found["class_names"], text = open_vocabulary(folder, lookup.manifest.origin.encoder_sha256)
        else:
            position = {label: index for index, label in enumerate(inputs.split.labels)}
            text = lookup.text[[position[label] for label in session.classes]]
        found["teacher"] = LookupSubset(lookup, rows, inputs.regions.count, text)
    if "features" in run.sources:
        lookup = RegionLookup(run.sources["features"].parent)
        boosting = run.sources.record("boosting")
        boosting_sha256 = boosting and boosting.sha256
        seen = lookup.manifest.origin.prompt_sha256
        lookup.require(
            images_sha256=images_sha256(drawn),
            encoder=inputs.student.config,
            encoder_sha256=inputs.student.weights_sha256,
            precision=inputs.student.precision,
            prompt_sha256=seen and boosting_sha256,
            dtype="float32",
        )
        lookup.require_regions(inputs.regions)
        subset = LookupSubset(lookup, Rows(drawn, lookup.folder).of(items), inputs.regions.count)
        kinds = {"plain_features": seen is None, "cascade_features": seen == boosting_sha256}
        found |= {kind: subset for kind, holds in kinds.items() if holds}
    return found


def _header(inputs: TrainingInputs, run: Run, config: Any, sessions: list[Session], **about: Any) -> Header:
    """What a prompt was learned from; `about` says what it is: phase, method, protocol, unlabelled."""
    return Header(
        **about,
        hyperparameters=config.model_dump(),
        dataset=inputs.dataset,
        sessions=[inputs.split.class_names(session.classes) for session in sessions],
        template=inputs.template,
        shots=run.shots,
        seed=run.seed,
        student=inputs.student.config,
        student_sha256=inputs.student.weights_sha256,
        regions=inputs.regions,
        precision=inputs.student.precision,
        threads=inputs.threads,
        versions=versions(),
        **run.sources.header(),
    )


def _train(
    method: Method, items: list[Item], inputs: TrainingInputs, run: Run, header: Header, session: int = 0
) -> list[dict[str, Any]]:
    """Train step by step on random regions; the history."""
    if inputs.regions is None:
        raise UserError(f"{header.method} is trained on random regions: say which.")
    student, stored = inputs.student, run.sources.get("regions")
    store = stored and open_store(stored.parent, inputs.split.train, inputs.regions, student.size)
    # Only the code that began a training may go on with it.
    code = fingerprint("training.stages", *modules_of(header.method))
    return train(
        method,
        PickedRegions(items, inputs.image_folder, inputs.regions, student.size, store),
        seed=header.seed,
        workers=inputs.workers,
        checkpoint=checkpoint_path(run.output, session),
        fingerprint=sha256_of_json([header.model_dump(), session, images_sha256(items), code]),
    )


@torch.no_grad()
def _examples(method: Method, items: list[Item], inputs: TrainingInputs) -> Examples:
    """Features of whole images, prepared as the model is tested, and their labels."""
    student = inputs.student
    whole = WholeImages(items, inputs.image_folder, student.preprocess)
    loader = DataLoader(whole, batch_size=_WHOLE_IMAGES, num_workers=inputs.workers)
    features = [
        method.encode_images(pixels.flatten(0, 1).to(student.device)).cpu() for pixels, _ in load(loader)
    ]
    found = torch.cat([torch.empty(0, student.feature_dim), *features])
    require_finite({"features": found}, f"What {student.config.model} makes of images", "use other weights")
    return Examples(found, torch.tensor([item.label for item in items]))
