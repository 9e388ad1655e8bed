"""Small values that computing code takes: a model, how regions are drawn, how features are stored."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..run import DatasetName
from ..validation import Strict

Precision = Literal["float32", "bfloat16"]

FeatureType = Literal["float16", "float32"]


class BackboneConfig(Strict):
    """One open_clip model."""

    model: str = Field(description="open_clip architecture, or miniature-student / miniature-teacher")
    pretrained: str = Field(
        description="open_clip tag, a weights file, 'miniature' (shipped), or 'random' (untrained); "
        "a file with OpenAI's weights needs the model's -quickgelu configuration"
    )


class LookupConfig(Strict):
    """How features of random regions are computed and stored."""

    batch_size: int = Field(64, ge=1, description="regions that are encoded at a time")
    shard_images: int = Field(512, ge=1, description="images in one file of a lookup")
    dtype: FeatureType = Field(
        "float16", description="of a teacher's stored features; float32 is exact and takes twice the disk"
    )
    parts: int = Field(1, ge=1, description="jobs that build one data set's teacher lookup side by side")
    parts_of: dict[DatasetName, Annotated[int, Field(ge=1)]] = Field(
        {}, description="data set -> jobs, where it differs"
    )


class Regions(Strict):
    """How random regions of an image are drawn."""

    count: int = Field(20, ge=1, description="random regions of each training image")
    seed: int = Field(1, ge=0, description="seed of the regions' geometry")
    scale: tuple[float, float] = Field(
        (0.08, 1.0), description="least and greatest area of a region, as a share of the image's"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Regions":
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale {list(self.scale)} must be two shares, 0 < least <= greatest <= 1")
        return self
