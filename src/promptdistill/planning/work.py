"""What one job computes, in repetitions of one thing whose operations are known."""

from collections.abc import Iterator
from functools import singledispatch
from typing import NamedTuple

from .. import layout
from ..config import Training
from ..run import family
from .architecture import Architecture
from .compute_cost import whole_number
from .experiment import Experiment, UnknownError
from .flops import image_flops
from .jobs import (
    Adapt,
    Boost,
    Distill,
    EncodeDraws,
    EncodeTest,
    Evaluate,
    Job,
    Kind,
    Lookup,
    TuneTeacher,
)

ENCODE = "encode"  # the name of a forward pass of one image, beside those of methods


class Work(NamedTuple):
    """So many times one thing: a training step of a method, or the encoding of one image (`ENCODE`)."""

    what: str
    flops: float
    times: float


@singledispatch
def work_of(job: Job, experiment: Experiment) -> Iterator[Work]:
    """What a job computes with the models; nothing for one that runs none.

    Raises UnknownError where that depends on something that no entry says.  Left out are texts that are
    encoded once a job, and what a part of a lookup does, which is counted with the whole.
    """
    yield from ()


@work_of.register
def _(job: Lookup, experiment: Experiment) -> Iterator[Work]:
    tuned = job.tuned
    prompt = experiment.compute_cost(tuned.METHOD, tuned.dataset, tuned.training).image if tuned else ()
    flops = image_flops(_vit(experiment.teacher), prompt).forward
    yield Work(ENCODE, flops, experiment.images(job.dataset, "train") * job.regions.count)


@work_of.register
def _(job: EncodeDraws, experiment: Experiment) -> Iterator[Work]:
    images = sum(experiment.drawn_images(job.dataset, job.training, shots) for shots, _ in job.runs)
    yield Work(ENCODE, _student_flops(experiment, job.dataset, job.kind), images * job.regions.count)


@work_of.register
def _(job: EncodeTest, experiment: Experiment) -> Iterator[Work]:
    flops = _student_flops(experiment, job.dataset, job.kind)
    yield Work(ENCODE, flops, experiment.images(job.dataset, "test"))


@work_of.register
def _(job: Boost, experiment: Experiment) -> Iterator[Work]:
    images, classes = experiment.images(job.dataset, "train"), experiment.classes(job.dataset)
    yield _steps(experiment, experiment.student, "boosting", job.dataset, job.training, images, classes)


@work_of.register
def _(job: TuneTeacher, experiment: Experiment) -> Iterator[Work]:
    dataset, training = job.dataset, job.training
    images = experiment.drawn_images(dataset, training, job.shots)
    classes = experiment.trained_classes(dataset, training)
    yield _steps(experiment, experiment.teacher, job.METHOD, dataset, training, images, classes)


@work_of.register
def _(job: Adapt, experiment: Experiment) -> Iterator[Work]:
    classes = experiment.trained_classes(job.dataset, job.training)
    for shots, _ in job.runs:
        images = experiment.drawn_images(job.dataset, job.training, shots)
        if experiment.entry(job.method).learns_from == "images":
            validation = experiment.drawn_images(job.dataset, job.training, min(shots, 4))
            kind = layout.feature_kind(job.method, experiment.config_dir, job.training) or "plain"
            yield Work(ENCODE, _student_flops(experiment, job.dataset, kind), images + validation)
        else:
            yield _steps(
                experiment, experiment.student, job.method, job.dataset, job.training, images, classes
            )


@work_of.register
def _(job: Distill, experiment: Experiment) -> Iterator[Work]:
    images, classes = experiment.images(job.dataset, "train"), experiment.classes(job.dataset)
    for _ in job.runs:
        yield _steps(experiment, experiment.student, job.method, job.dataset, job.training, images, classes)


@work_of.register
def _(job: Evaluate, experiment: Experiment) -> Iterator[Work]:
    source = experiment.trained_on(job.training, job.dataset)
    cost = experiment.compute_cost(job.method, source, job.training)
    if cost.image is not None:
        _vit(experiment.student)
    classes = experiment.trained_classes(job.dataset, job.training)  # base and novel classes are half each
    flops = cost.image_test(experiment.student, classes)
    if flops:
        yield Work(ENCODE, flops, experiment.images(job.dataset, "test") * len(job.runs))


def _steps(
    experiment: Experiment,
    model: Architecture,
    method: str,
    dataset: str,
    training: Training,
    images: int,
    classes: int,
) -> Work:
    """All steps of one training."""
    values = experiment.hyperparameters(method, dataset, training)
    batch, epochs = whole_number(method, values, "batch_size"), whole_number(method, values, "epochs")
    cost = experiment.compute_cost(method, dataset, training)
    if not cost.learns:
        raise UnknownError(
            f"what a step of {method} computes, whose hyper-parameters are none of context, n_ctx_text and "
            "n_ctx_vision"
        )
    if cost.image is not None:
        _vit(model)
    shown = min(
        whole_number(method, values, "regions_per_image", 1),
        experiment.regions(method, dataset, training).count,
    )
    flops = cost.step(model, classes, min(batch, images) * shown)
    return Work(family(method), flops, epochs * max(1, images // batch))


def _student_flops(experiment: Experiment, dataset: str, kind: Kind) -> float:
    """Of one image through the student, plain or with a boosting prompt."""
    training: Training = "transfer" if kind == "boosted_transfer" else "base_to_novel"
    source = experiment.trained_on(training, dataset)
    prompt = () if kind == "plain" else experiment.compute_cost("boosting", source, training).image
    return image_flops(_vit(experiment.student), prompt).forward


def _vit(model: Architecture) -> Architecture:
    """The model, if the operations of its image tower can be counted."""
    if model.image is None:
        raise UnknownError(f"what the image tower of {model.name} computes, which is not a plain ViT")
    return model
