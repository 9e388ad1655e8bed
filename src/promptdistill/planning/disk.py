"""Bytes of lookups and stored regions: what their shards hold, without the files' own headers.

Every region has its geometry (five 32-bit numbers) beside its features or pixels, and stored pixels a
checksum (64 bits) too; the package `features` writes them.
"""

from functools import singledispatch

from ..experiment import Experiment
from ..graph import Artifact, DrawFeatures, Lookup, LookupPart, StoredRegions, TestFeatures
from .architecture import read_architecture
from .sizes import classes, drawn_images, images

_GEOMETRY = 5 * 4
_CHECKSUM = 8
_BYTES = {"float16": 2, "float32": 4}  # of a number
_STUDENT = _BYTES["float32"]  # since these features stand in for a forward pass


def lookup_bytes(images: int, regions: int, dim: int, number: int) -> int:
    """images x regions x (dim numbers and the geometry)."""
    return images * regions * (dim * number + _GEOMETRY)


def stored_bytes(images: int, regions: int, size: tuple[int, int], max_gb: float) -> int:
    """images x regions x (3 x H x W, geometry and checksum); 0 where the pixels are more than `max_gb`."""
    pixels = 3 * size[0] * size[1]
    if images * regions * pixels / 1e9 > max_gb:
        return 0
    return images * regions * (pixels + _GEOMETRY + _CHECKSUM)


@singledispatch
def bytes_of(artifact: Artifact, experiment: Experiment) -> int:
    """What an artifact takes on disk; 0 for prompts, predictions and tables, which are small.

    Raises UnknownError where that depends on something that no entry says.
    """
    return 0


@bytes_of.register
def _(store: StoredRegions, experiment: Experiment) -> int:
    count = experiment.regions_named(store.region_set).count
    size = read_architecture(experiment.backbone().model).size
    train = images(experiment, store.dataset, "train")
    return stored_bytes(train, count, size, experiment.config.regions.max_gb)


@bytes_of.register
def _(lookup: Lookup, experiment: Experiment) -> int:
    count = experiment.regions_named(lookup.region_set).count
    dim = read_architecture(experiment.config.backbones.teacher.model).dim
    train, number = images(experiment, lookup.dataset, "train"), _BYTES[experiment.config.lookup.dtype]
    classifier = classes(experiment, lookup.dataset) * dim * _BYTES["float32"]
    return lookup_bytes(train, count, dim, number) + classifier


@bytes_of.register
def _(part: LookupPart, experiment: Experiment) -> int:
    return 0  # the whole takes its place


@bytes_of.register
def _(features: DrawFeatures, experiment: Experiment) -> int:
    drawn = drawn_images(experiment, features.dataset, features.protocol, features.shots)
    return _student_bytes(experiment, drawn, experiment.regions_named(features.region_set).count)


@bytes_of.register
def _(features: TestFeatures, experiment: Experiment) -> int:
    return _student_bytes(experiment, images(experiment, features.dataset, "test"), 1)


def _student_bytes(experiment: Experiment, images: int, regions: int) -> int:
    return lookup_bytes(images, regions, read_architecture(experiment.backbone().model).dim, _STUDENT)
