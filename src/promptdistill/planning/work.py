"""What an artifact takes: operations of the models, and bytes on disk, as far as the entries say."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple

from .. import graph
from ..clip.architecture import Architecture, read_architecture
from ..config.models import BackboneConfig
from ..data.splits import Item, Split
from ..data.vocabulary import read_names
from ..experiment import Experiment, _whole
from ..protocols import PROTOCOLS
from ..protocols.base import Session, Subset
from ..run import family
from .flops import compute_cost, image_flops

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
        case graph.Lookup() | graph.DrawAnswers() | graph.StudentFeatures():
            backbone, prompts = _encoder(artifact, experiment)
            return [Work(ENCODE, _encoding(backbone, prompts, experiment), _seen(artifact, experiment))]
        case graph.BoostingPrompt() | graph.Prompt():
            return _training(artifact, experiment)
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
        case graph.VocabularyText():
            dim = read_architecture(experiment.config.backbones.teacher.model).dim
            return _names(artifact.vocabulary, experiment) * dim * _BYTES["float32"]
        case graph.StoredRegions():
            size = read_architecture(experiment.backbone().model).size
            return stored_bytes(_seen(artifact, experiment), size, experiment.config.regions.max_gb)
        case graph.Lookup() | graph.DrawAnswers() | graph.StudentFeatures():
            dim = read_architecture(_encoder(artifact, experiment)[0].model).dim
            number, classifier = _BYTES["float32"], 0  # a student's stand in for a forward pass
            if not isinstance(artifact, graph.StudentFeatures):
                classifier = _said(experiment, artifact.dataset, "classes") * dim * number
                number = _BYTES[experiment.config.lookup.dtype]
            return lookup_bytes(_seen(artifact, experiment), dim, number) + classifier
    return 0


def lookup_bytes(regions: int, dim: int, number: int) -> int:
    """Bytes of the features of so many regions: dim numbers of `number` bytes, and the geometry, each."""
    return regions * (dim * number + _GEOMETRY)


def stored_bytes(regions: int, size: tuple[int, int], max_gb: float) -> int:
    """Bytes of so many stored regions of (H, W) pixels; 0 where the pixels are more than `max_gb`."""
    pixels = 3 * size[0] * size[1]
    return 0 if regions * pixels / 1e9 > max_gb else regions * (pixels + _GEOMETRY + _CHECKSUM)


def _said(experiment: Experiment, dataset: str, what: Literal["train", "test", "classes"]) -> int:
    """How many classes, or images of a part, a data set's entry says that there are."""
    entry = experiment.dataset(dataset)
    if what == "classes" and entry.classes is None:
        raise UnknownError(f"the classes of {dataset}: its entry has no number of classes")
    if what != "classes" and what not in entry.sizes:
        raise UnknownError(f"the {what} images of {dataset}: its entry has no sizes: {{{what}: …}}")
    return entry.classes if what == "classes" else entry.sizes[what]


def _parts(experiment: Experiment, dataset: str, protocol: str) -> tuple[list[Session], list[Subset]]:
    """What a protocol trains and tests of the classes of a data set, one test image each."""
    settings = experiment.settings(protocol).model_dump_json()
    return _parts_of(protocol, settings, _said(experiment, dataset, "classes"))


@cache
def _parts_of(protocol: str, settings: str, classes: int) -> tuple[list[Session], list[Subset]]:
    split = Split(train=[], val=[], test=[Item("", label, "") for label in range(classes)])
    own = PROTOCOLS[protocol]
    read = own.Settings.model_validate_json(settings)
    return own.sessions(split, read), own.subsets(split, read)


def _seen(artifact: graph.Artifact, experiment: Experiment) -> int:
    """The images, or regions of images, that are stored or looked up; no class has fewer than its shots."""
    if isinstance(artifact, graph.TestFeatures):
        return _said(experiment, artifact.dataset, "test")
    regions = experiment.regions_named(artifact.region_set).count
    if isinstance(artifact, graph.DrawFeatures | graph.DrawAnswers):
        sessions, _ = _parts(experiment, artifact.dataset, artifact.protocol)
        return regions * artifact.shots * sum(len(session.labels) for session in sessions)
    return regions * _said(experiment, artifact.dataset, "train")


def _names(vocabulary: str, experiment: Experiment) -> int:
    """How many names a vocabulary has."""
    return len(read_names(experiment.vocabulary_file(vocabulary)))


def _training(prompt: graph.BoostingPrompt | graph.Prompt, experiment: Experiment) -> list[Work]:
    """All steps of every session of a training, or all images that a method encodes once."""
    method, dataset, protocol = training = graph.training_of(prompt)
    learns_from = experiment.method(method).learns_from
    if method == "boosting" or learns_from == "teacher":  # on answers for all training images
        parts = [(_said(experiment, dataset, "train"), _said(experiment, dataset, "classes"))]
    else:
        sessions, _ = _parts(experiment, dataset, protocol)
        parts = [(prompt.shots * len(session.labels), len(session.classes)) for session in sessions]
    if learns_from == "images":
        encoding = _encoding(*_encoder(prompt, experiment), experiment)
        validation = min(prompt.shots, 4)
        return [Work(ENCODE, encoding, images + images // prompt.shots * validation) for images, _ in parts]
    values = experiment.hyperparameters(*training)
    batch, epochs = (_whole(method, key, values.get(key)) for key in ("batch_size", "epochs"))
    shown = _whole(method, "regions_per_image", values.get("regions_per_image", 1))
    cost = compute_cost(experiment, *training)
    if not cost.learns:
        raise UnknownError(
            f"what a step of {method} computes, whose hyper-parameters are none of n_ctx, n_ctx_text and "
            "n_ctx_vision"
        )
    if vocabulary := experiment.vocabulary(*training):
        kept = min(values["k_max"], _names(vocabulary, experiment))
        parts = [(images, kept) for images, _ in parts]
    model = _shape(experiment.backbone(method), encodes=cost.image is not None)
    shown = min(shown, experiment.regions(*training).count)
    works = []
    for images, classes in parts:
        flops = cost.step(model, classes, min(batch, images) * shown)
        works.append(Work(family(method), flops, epochs * max(1, images // batch)))
    return works


def _test(predictions: graph.Predictions, experiment: Experiment) -> list[Work]:
    """Test images whose features are not looked up, each once for every subset that it is tested in."""
    protocol, dataset, method = predictions.run[:3]
    source = experiment.trained_on(protocol, dataset, method)
    cost = compute_cost(experiment, method, source, protocol)
    model = _shape(experiment.backbone(), encodes=cost.image is not None)
    tested: Counter[float] = Counter()  # the images of how many classes, by the operations of an image
    for subset in _parts(experiment, dataset, protocol)[1]:
        tested[cost.image_test(model, len(subset.class_names))] += len(subset.items)
    images, classes = (_said(experiment, dataset, what) for what in ("test", "classes"))
    return [Work(ENCODE, flops, images * n / classes) for flops, n in tested.items() if flops]


def _encoder(
    artifact: graph.Lookup | graph.DrawAnswers | graph.StudentFeatures | graph.Prompt, experiment: Experiment
) -> tuple[BackboneConfig, list[graph.Artifact]]:
    """The model that encodes an artifact's images, and the prompts that it sees them through."""
    if isinstance(artifact, graph.DrawAnswers):
        return experiment.config.backbones.teacher, []
    if isinstance(artifact, graph.Lookup):
        return experiment.config.backbones.teacher, artifact.answers(experiment)["prompt"]
    return experiment.backbone(), artifact.inputs(experiment)["boosting"]


def _encoding(backbone: BackboneConfig, prompts: Iterable[graph.Artifact], experiment: Experiment) -> float:
    """Operations of one image through a model, plain or with prompts."""
    costs = [compute_cost(experiment, *graph.training_of(prompt)) for prompt in prompts]
    return image_flops(_shape(backbone), [tokens for cost in costs for tokens in cost.image]).forward


def _shape(backbone: BackboneConfig, encodes: bool = True) -> Architecture:
    """A model's shape; UnknownError if it `encodes` images and the operations of that cannot be counted."""
    model = read_architecture(backbone.model)
    if encodes and model.image is None and model.resnet is None:
        raise UnknownError(
            f"what the image tower of {model.name} computes, which is neither a plain ViT nor CLIP's ResNet"
        )
    return model
