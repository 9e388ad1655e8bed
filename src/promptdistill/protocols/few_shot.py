"""Few-shot: train on 1, 2, 4, … shots of all classes, test all classes."""

from typing import Annotated

from pydantic import Field, model_validator

from .base import Protocol, ProtocolSettings, Table, refuse_repeats


class FewShotSettings(ProtocolSettings):
    """Several numbers of shots."""

    shots: list[Annotated[int, Field(ge=1)]] = Field([1, 2, 4, 8, 16], min_length=1)

    @model_validator(mode="after")
    def _no_repeated_shots(self) -> "FewShotSettings":
        refuse_repeats(shots=self.shots)
        return self


class FewShot(Protocol):
    """Accuracy over all classes, by the number of shots."""

    name = "few_shot"
    order = 2
    about = "train on few shots of all classes; test all classes"
    Settings = FewShotSettings
    tables = (
        Table(
            name="few_shot",
            title="Few-shot",
            about="Accuracy in percent on all classes after training on K images of each; mean ± standard "
            "deviation over seeds. K = 0: without labelled images.",
            columns="shots",
            headline="accuracy",
            curve="shots",
        ),
    )

    def shots(self, settings: FewShotSettings) -> list[int]:
        """All of them."""
        return settings.shots


PROTOCOL = FewShot()
