"""How large a data set and a training on it are, as the entries say."""

from typing import Literal

from ..experiment import Experiment
from ..protocols import PROTOCOLS


class UnknownError(Exception):
    """Something that a cost depends on is not known before the run; the message says what."""


def images(experiment: Experiment, dataset: str, part: Literal["train", "val", "test"]) -> int:
    """Images of one part of a data set; UnknownError if its entry does not say."""
    sizes = experiment.dataset(dataset).sizes
    if part not in sizes:
        raise UnknownError(f"the {part} images of {dataset}: its entry has no sizes: {{{part}: …}}")
    return sizes[part]


def classes(experiment: Experiment, dataset: str) -> int:
    """Classes of a data set; UnknownError if its entry does not say."""
    count = experiment.dataset(dataset).classes
    if count is None:
        raise UnknownError(f"the classes of {dataset}: its entry has no number of classes")
    return count


def trained_classes(experiment: Experiment, dataset: str, protocol: str) -> int:
    """Classes that a protocol trains on."""
    return PROTOCOLS[protocol].trained_classes(classes(experiment, dataset))


def drawn_images(experiment: Experiment, dataset: str, protocol: str, shots: int) -> int:
    """Images of a few-shot draw that are trained on, where no class has fewer."""
    return shots * trained_classes(experiment, dataset, protocol)


def sessions(experiment: Experiment, protocol: str) -> int:
    """Sessions of a training, each on as many images; 1 for a protocol that is not run."""
    settings = experiment.protocols.get(protocol)
    return PROTOCOLS[protocol].session_count(settings) if settings else 1
