"""What an artifact takes to compute, in repetitions of one thing whose operations are known."""

from collections.abc import Iterator
from functools import singledispatch
from typing import NamedTuple

from ..config import BackboneConfig
from ..experiment import Experiment
from ..graph import (
    Artifact,
    BoostingPrompt,
    DrawFeatures,
    Lookup,
    LookupPart,
    Predictions,
    Prompt,
    StudentFeatures,
    TestFeatures,
)
from ..run import family
from .architecture import Architecture, read_architecture
from .compute_cost import compute_cost, whole_number
from .flops import image_flops
from .sizes import UnknownError, classes, drawn_images, images, sessions, trained_classes

ENCODE = "encode"  # the name of a forward pass of one image, beside those of methods


class Work(NamedTuple):
    """So many times one thing: a training step of a method, or the encoding of one image (`ENCODE`)."""

    what: str
    flops: float
    times: float


@singledispatch
def work_of(artifact: Artifact, experiment: Experiment) -> Iterator[Work]:
    """What is computed with the models to make an artifact; nothing where none runs.

    Raises UnknownError where that depends on something that no entry says.  Left out are texts that are
    encoded once a job.
    """
    yield from ()


@work_of.register
def _(lookup: Lookup, experiment: Experiment) -> Iterator[Work]:
    tokens = [
        tokens
        for prompt in lookup.answers(experiment)["prompt"]
        for tokens in compute_cost(experiment, prompt.method, prompt.dataset, prompt.protocol).image
    ]
    flops = image_flops(_shape(experiment.config.backbones.teacher), tokens).forward
    regions = experiment.regions_named(lookup.region_set).count
    yield Work(ENCODE, flops, images(experiment, lookup.dataset, "train") * regions)


@work_of.register
def _(part: LookupPart, experiment: Experiment) -> Iterator[Work]:
    yield from ()  # counted with the whole


@work_of.register
def _(features: DrawFeatures, experiment: Experiment) -> Iterator[Work]:
    drawn = drawn_images(experiment, features.dataset, features.protocol, features.shots)
    regions = experiment.regions_named(features.region_set).count
    yield Work(ENCODE, _student_flops(features, experiment), drawn * regions)


@work_of.register
def _(features: TestFeatures, experiment: Experiment) -> Iterator[Work]:
    yield Work(ENCODE, _student_flops(features, experiment), images(experiment, features.dataset, "test"))


@work_of.register
def _(prompt: BoostingPrompt, experiment: Experiment) -> Iterator[Work]:
    yield _unlabelled_steps(experiment, "boosting", prompt.dataset, prompt.protocol)


@work_of.register
def _(prompt: Prompt, experiment: Experiment) -> Iterator[Work]:
    protocol, dataset, method, shots, _ = prompt.run
    learns_from = experiment.method(method).learns_from
    if learns_from == "teacher":
        yield _unlabelled_steps(experiment, method, dataset, protocol)
        return
    drawn = drawn_images(experiment, dataset, protocol, shots)
    if learns_from == "images":
        validation = drawn_images(experiment, dataset, protocol, min(shots, 4))
        yield Work(ENCODE, _student_flops(prompt, experiment), drawn + validation)
    else:
        yield _steps(
            experiment, method, dataset, protocol, drawn, trained_classes(experiment, dataset, protocol)
        )


@work_of.register
def _(predictions: Predictions, experiment: Experiment) -> Iterator[Work]:
    protocol, dataset, method = predictions.run[:3]
    source = experiment.trained_on(protocol, dataset, method)
    cost = compute_cost(experiment, method, source, protocol)
    model = _shape(experiment.backbone(), encodes=cost.image is not None)
    # Base and novel classes are half each, so an image is told apart among as many as are trained on.
    flops = cost.image_test(model, trained_classes(experiment, dataset, protocol))
    if flops:
        # After session s of S, the images of s/S of the classes are tested: (S + 1) / 2 times all, in sum.
        passes = (sessions(experiment, protocol) + 1) / 2
        yield Work(ENCODE, flops, images(experiment, dataset, "test") * passes)


def _unlabelled_steps(experiment: Experiment, method: str, dataset: str, protocol: str) -> Work:
    """All steps of a training on a teacher's answers for all training images."""
    train, known = images(experiment, dataset, "train"), classes(experiment, dataset)
    return _steps(experiment, method, dataset, protocol, train, known)


def _steps(
    experiment: Experiment, method: str, dataset: str, protocol: str, images: int, classes: int
) -> Work:
    """All steps of one training; every session has its share of the `images`."""
    values = experiment.hyperparameters(method, dataset, protocol)
    batch, epochs = whole_number(method, values, "batch_size"), whole_number(method, values, "epochs")
    cost = compute_cost(experiment, method, dataset, protocol)
    if not cost.learns:
        raise UnknownError(
            f"what a step of {method} computes, whose hyper-parameters are none of n_ctx, n_ctx_text and "
            "n_ctx_vision"
        )
    model = _shape(experiment.backbone(method), encodes=cost.image is not None)
    shown = min(
        whole_number(method, values, "regions_per_image", 1),
        experiment.regions(method, dataset, protocol).count,
    )
    stretches = sessions(experiment, protocol)
    share = max(1, images // stretches)
    flops = cost.step(model, classes, min(batch, share) * shown)
    return Work(family(method), flops, epochs * stretches * max(1, share // batch))


def _student_flops(artifact: StudentFeatures | Prompt, experiment: Experiment) -> float:
    """Of one image through the student, plain or with a boosting prompt."""
    tokens = [
        tokens
        for prompt in artifact.inputs(experiment)["boosting"]
        for tokens in compute_cost(experiment, "boosting", prompt.dataset, prompt.protocol).image
    ]
    return image_flops(_shape(experiment.backbone()), tokens).forward


def _shape(backbone: BackboneConfig, encodes: bool = True) -> Architecture:
    """A model's shape; UnknownError if it `encodes` images and the operations of that cannot be counted."""
    model = read_architecture(backbone.model)
    if encodes and model.image is None:
        raise UnknownError(f"what the image tower of {model.name} computes, which is not a plain ViT")
    return model
