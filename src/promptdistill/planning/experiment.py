"""An experiment as planning sees it: its configuration, and what the entries say of data sets and methods."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from .. import layout
from ..config import Config, MethodEntry, Regions, Training, hyperparameters, load_dataset, load_method
from ..data.splits import base_count
from ..run import split_method
from .architecture import Architecture, read_architecture
from .compute_cost import ComputeCost


class UnknownError(Exception):
    """Something that a cost depends on is not known before the run; the message says what."""


@dataclass(frozen=True)
class Experiment:
    """A checked configuration and the folder of its entries."""

    config: Config
    config_dir: Path

    @cached_property
    def student(self) -> Architecture:
        """The shape of the model that prompts are learned for."""
        return read_architecture(self.config.backbones.student.model)

    @cached_property
    def teacher(self) -> Architecture:
        """The shape of the model that is asked."""
        return read_architecture(self.config.backbones.teacher.model)

    def entry(self, method: str) -> MethodEntry:
        """What config/methods says of a method."""
        return load_method(method, self.config_dir)

    def is_cascaded(self, method: str) -> bool:
        """Whether a method stands on a boosting prompt."""
        return split_method(method)[1]

    def trained_on(self, training: Training, dataset: str) -> str:
        """The data set whose images are learned from: the source, where others are tested."""
        return self.config.protocols.transfer.source if training == "transfer" else dataset

    def regions(self, method: str, dataset: str, training: Training) -> Regions:
        """Random regions of an image that a training sees."""
        return layout.regions_of(method, dataset, self.config, self.config_dir, training)

    def hyperparameters(self, method: str, dataset: str, training: Training) -> dict[str, Any]:
        """A method's hyper-parameters on one data set in one protocol."""
        return hyperparameters(method, dataset, self.config, self.config_dir, training)

    def compute_cost(self, method: str, dataset: str, training: Training) -> ComputeCost:
        """What the towers carry when a method is trained, or tested: its tokens and those it stands on."""
        own = ComputeCost.of(method, self.entry(method), self.hyperparameters(method, dataset, training))
        return (
            own.behind(self.compute_cost("boosting", dataset, training)) if self.is_cascaded(method) else own
        )

    def images(self, dataset: str, part: Literal["train", "val", "test"]) -> int:
        """Images of one part of a data set, as its entry says; UnknownError if it does not."""
        sizes = load_dataset(dataset, self.config_dir).sizes
        if part not in sizes:
            raise UnknownError(f"the {part} images of {dataset}: its entry has no sizes: {{{part}: …}}")
        return sizes[part]

    def classes(self, dataset: str) -> int:
        """Classes of a data set, as its entry says; UnknownError if it does not."""
        classes = load_dataset(dataset, self.config_dir).classes
        if classes is None:
            raise UnknownError(f"the classes of {dataset}: its entry has no number of classes")
        return classes

    def trained_classes(self, dataset: str, training: Training) -> int:
        """The base classes, or all."""
        classes = self.classes(dataset)
        return base_count(classes) if training == "base_to_novel" else classes

    def drawn_images(self, dataset: str, training: Training, shots: int) -> int:
        """Images of a few-shot draw that are trained on, where no class has fewer."""
        return shots * self.trained_classes(dataset, training)
