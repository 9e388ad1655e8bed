"""Bytes of lookups and stored regions: what their shards hold, without the files' own headers.

Every region has its geometry (five 32-bit numbers) beside its features or pixels, and stored pixels a
checksum (64 bits) too; `lookup/build.py` and `data/region_build.py` write them.
"""

from functools import singledispatch

from .experiment import Experiment
from .jobs import EncodeDraws, EncodeTest, Job, Lookup, StoredRegions

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
def bytes_of(job: Job, experiment: Experiment) -> int:
    """What a job leaves on disk; 0 for prompts, predictions and tables, which are small.

    Raises UnknownError where that depends on something that no entry says.
    """
    return 0


@bytes_of.register
def _(job: StoredRegions, experiment: Experiment) -> int:
    images, size = experiment.images(job.dataset, "train"), experiment.student.size
    return stored_bytes(images, job.regions.count, size, experiment.config.regions.max_gb)


@bytes_of.register
def _(job: Lookup, experiment: Experiment) -> int:
    dim, images = experiment.teacher.dim, experiment.images(job.dataset, "train")
    classifier = experiment.classes(job.dataset) * dim * 4
    number = _BYTES[experiment.config.lookup.dtype]
    return lookup_bytes(images, job.regions.count, dim, number) + classifier


@bytes_of.register
def _(job: EncodeDraws, experiment: Experiment) -> int:
    images = sum(experiment.drawn_images(job.dataset, job.training, shots) for shots, _ in job.runs)
    return lookup_bytes(images, job.regions.count, experiment.student.dim, _STUDENT)


@bytes_of.register
def _(job: EncodeTest, experiment: Experiment) -> int:
    return lookup_bytes(experiment.images(job.dataset, "test"), 1, experiment.student.dim, _STUDENT)
