"""Transfer: train on a source, test other data sets and shifted variants without further training."""

from typing import Any

from pydantic import Field, model_validator

from ..run import DatasetName
from .base import Protocol, ProtocolSettings, Table, refuse_repeats


class TransferSettings(ProtocolSettings):
    """The source, and what is tested beside it."""

    source: DatasetName = Field(description="data set to train on")
    cross_dataset: list[DatasetName] = Field([], description="other data sets to test")
    domain_generalization: list[DatasetName] = Field([], description="shifted variants of the source to test")

    @model_validator(mode="after")
    def _targets(self) -> "TransferSettings":
        targets = [*self.cross_dataset, *self.domain_generalization]
        refuse_repeats(targets=[self.source, *targets])
        if not targets:
            raise ValueError("name a target under cross_dataset or domain_generalization")
        return self


class Transfer(Protocol):
    """One training serves two tables, of other data sets and of other domains."""

    name = "transfer"
    order = 3
    about = "train on few shots of all classes of one data set; test it and others, without further training"
    Settings = TransferSettings
    boosting = "transfer"  # prompts for other data sets are shallower
    tables = (
        Table(
            name="cross_dataset",
            title="Cross-dataset transfer",
            about="Accuracy in percent on other data sets than the one trained on; mean ± standard "
            "deviation over seeds. The average is over the targets, without the source.",
            columns="datasets",
            headline="accuracy",
            students=True,
        ),
        Table(
            name="domain_generalization",
            title="Domain generalization",
            about="Accuracy in percent on the source's classes in other domains; mean ± standard deviation "
            "over seeds. The average is over the targets, without the source.",
            columns="datasets",
            headline="accuracy",
        ),
    )

    def source(self, settings: TransferSettings) -> str:
        """The data set to train on."""
        return settings.source

    def parameters(self, settings: TransferSettings) -> dict[str, Any]:
        """None: the source stands in every path, and another target changes no other one."""
        return {}

    def tested(self, table: str, settings: TransferSettings, datasets: list[str]) -> list[str]:
        """The targets of that table."""
        return getattr(settings, table)


PROTOCOL = Transfer()
