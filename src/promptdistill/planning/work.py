"""What an artifact takes: operations of the models, and bytes on disk, as far as the entries say."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from .. import graph
from ..config.models import BackboneConfig
from ..experiment import Experiment
from ..protocols import PROTOCOLS
from ..run import family
from .architecture import Architecture, read_architecture
from .flops import compute_cost, image_flops, whole_number

ENCODE = "encode"  # the name of a forward pass of one image, beside those of methods

# Every region has its geometry beside its features or pixels, and stored pixels a checksum; the package
# `features` writes them.
_GEOMETRY = 5 * 4
_CHECKSUM = 8
_BYTES = {"float16": 2, "float32": 4}  # of a number


class UnknownError(Exception):
    """Something that a cost depends on is not known before the run; the message says what."""


class Work(NamedTuple):
    """So many times one thing: a training step of a method, or the encoding of one image (`ENCODE`)."""

    what: str
    flops: float
    times: float


def work_of(artifact: graph.Artifact, experiment: Experiment) -> list[Work]:
    """What is computed with the models to make an artifact; nothing where none runs.

    UnknownError where that depends on something that no entry says.  Left out are texts that are encoded
    once a job.
    """
    match artifact:
        case graph.LookupPart():
            return []  # counted with the whole
        case graph.Lookup():
            prompts = artifact.answers(experiment)["prompt"]
            flops = _encoding(experiment.config.backbones.teacher, prompts, experiment)
            return [Work(ENCODE, flops, _seen(artifact, experiment))]
        case graph.StudentFeatures():
            seen = _seen(artifact, experiment)
            return [Work(ENCODE, _student_encoding(artifact, experiment), seen)]
        case graph.BoostingPrompt() | graph.Prompt():
            return [_training(artifact, experiment)]
        case graph.Predictions():
            return _test(artifact, experiment)
    return []


def bytes_of(artifact: graph.Artifact, experiment: Experiment) -> int:
    """What an artifact takes on disk: its shards, without the files' own headers; 0 for all that is small.

    UnknownError where that depends on something that no entry says.
    """
    match artifact:
        case graph.LookupPart():
            return 0  # the whole takes its place
        case graph.StoredRegions():
            size = read_architecture(experiment.backbone().model).size
            return stored_bytes(_seen(artifact, experiment), size, experiment.config.regions.max_gb)
        case graph.Lookup():
            dim = read_architecture(experiment.config.backbones.teacher.model).dim
            number = _BYTES[experiment.config.lookup.dtype]
            answers = lookup_bytes(_seen(artifact, experiment), dim, number)
            return answers + _classes(experiment, artifact.dataset) * dim * _BYTES["float32"]
        case graph.StudentFeatures():  # in full precision, since they stand in for a forward pass
            dim = read_architecture(experiment.backbone().model).dim
            return lookup_bytes(_seen(artifact, experiment), dim, _BYTES["float32"])
    return 0


def lookup_bytes(regions: int, dim: int, number: int) -> int:
    """Bytes of the features of so many regions: dim numbers of `number` bytes, and the geometry, each."""
    return regions * (dim * number + _GEOMETRY)


def stored_bytes(regions: int, size: tuple[int, int], max_gb: float) -> int:
    """Bytes of so many stored regions of (H, W) pixels; 0 where the pixels are more than `max_gb`."""
    pixels = 3 * size[0] * size[1]
    return 0 if regions * pixels / 1e9 > max_gb else regions * (pixels + _GEOMETRY + _CHECKSUM)


def _images(experiment: Experiment, dataset: str, part: Literal["train", "test"]) -> int:
    sizes = experiment.dataset(dataset).sizes
    if part not in sizes:
        raise UnknownError(f"the {part} images of {dataset}: its entry has no sizes: {{{part}: …}}")
    return sizes[part]


def _classes(experiment: Experiment, dataset: str) -> int:
    count = experiment.dataset(dataset).classes
    if count is None:
        raise UnknownError(f"the classes of {dataset}: its entry has no number of classes")
    return count


def _trained_classes(experiment: Experiment, dataset: str, protocol: str) -> int:
    return PROTOCOLS[protocol].trained_classes(_classes(experiment, dataset))


def _sessions(experiment: Experiment, protocol: str) -> int:
    """Sessions of a training, each on as many images; 1 for a protocol that is not run."""
    return experiment.session_count(protocol) if protocol in experiment.protocols else 1


def _seen(artifact: graph.Artifact, experiment: Experiment) -> int:
    """The images, or regions of images, that are stored or looked up; no class has fewer than its shots."""
    if isinstance(artifact, graph.TestFeatures):
        return _images(experiment, artifact.dataset, "test")
    regions = experiment.regions_named(artifact.region_set).count
    if isinstance(artifact, graph.DrawFeatures):
        return regions * artifact.shots * _trained_classes(experiment, artifact.dataset, artifact.protocol)
    return regions * _images(experiment, artifact.dataset, "train")


def _training(prompt: graph.BoostingPrompt | graph.Prompt, experiment: Experiment) -> Work:
    """All steps of a training, or all images that a method encodes once."""
    method, dataset, protocol = getattr(prompt, "method", "boosting"), prompt.dataset, prompt.protocol
    learns_from = experiment.method(method).learns_from
    if method == "boosting" or learns_from == "teacher":  # on answers for all training images
        images, classes = _images(experiment, dataset, "train"), _classes(experiment, dataset)
    else:
        classes = _trained_classes(experiment, dataset, protocol)
        images = prompt.shots * classes
    if learns_from == "images":
        validation = min(prompt.shots, 4) * classes
        return Work(ENCODE, _student_encoding(prompt, experiment), images + validation)
    values = experiment.hyperparameters(method, dataset, protocol)
    batch, epochs = whole_number(method, values, "batch_size"), whole_number(method, values, "epochs")
    cost = compute_cost(experiment, method, dataset, protocol)
    if not cost.learns:
        raise UnknownError(
            f"what a step of {method} computes, whose hyper-parameters are none of n_ctx, n_ctx_text and "
            "n_ctx_vision"
        )
    model = _shape(experiment.backbone(method), encodes=cost.image is not None)
    regions = experiment.regions(method, dataset, protocol).count
    shown = min(whole_number(method, values, "regions_per_image", 1), regions)
    sessions = _sessions(experiment, protocol)
    share = max(1, images // sessions)  # of a session
    flops = cost.step(model, classes, min(batch, share) * shown)
    return Work(family(method), flops, epochs * sessions * max(1, share // batch))


def _test(predictions: graph.Predictions, experiment: Experiment) -> list[Work]:
    """Test images whose features are not looked up."""
    protocol, dataset, method = predictions.run[:3]
    source = experiment.trained_on(protocol, dataset, method)
    cost = compute_cost(experiment, method, source, protocol)
    model = _shape(experiment.backbone(), encodes=cost.image is not None)
    # Base and novel classes are half each, so an image is told apart among as many as are trained on.
    flops = cost.image_test(model, _trained_classes(experiment, dataset, protocol))
    # After session s of S, the images of s/S of the classes are tested: (S + 1) / 2 times all, in sum.
    passes = (_sessions(experiment, protocol) + 1) / 2
    return [Work(ENCODE, flops, _images(experiment, dataset, "test") * passes)] if flops else []


def _student_encoding(artifact: graph.StudentFeatures | graph.Prompt, experiment: Experiment) -> float:
    return _encoding(experiment.backbone(), artifact.inputs(experiment)["boosting"], experiment)


def _encoding(backbone: BackboneConfig, prompts: Iterable[graph.Artifact], experiment: Experiment) -> float:
    """Operations of one image through a model, plain or with prompts."""
    tokens = [
        tokens
        for prompt in prompts
        for tokens in compute_cost(
            experiment, getattr(prompt, "method", "boosting"), prompt.dataset, prompt.protocol
        ).image
    ]
    return image_flops(_shape(backbone), tokens).forward


def _shape(backbone: BackboneConfig, encodes: bool = True) -> Architecture:
    """A model's shape; UnknownError if it `encodes` images and the operations of that cannot be counted."""
    model = read_architecture(backbone.model)
    if encodes and model.image is None:
        raise UnknownError(f"what the image tower of {model.name} computes, which is not a plain ViT")
    return model
