"""Small values that computing code takes: a model, how regions are drawn, how features are stored."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..errors import UserError
from ..run import DatasetName
from ..validation import Strict

Precision = Literal["float32", "bfloat16"]

_LFS = b"version https://git-lfs"  # the beginning of what Git keeps instead of a large file

FeatureType = Literal["float16", "float32"]


class BackboneConfig(Strict):
    """One open_clip model."""

    model: str = Field(description="open_clip architecture, or miniature-student / miniature-teacher")
    pretrained: str = Field(
        description="open_clip tag, a weights file (OpenAI's .pt as it is, safetensors, or a state dict), "
        "'miniature' (shipped), or 'random' (untrained)"
    )

    @property
    def file(self) -> Path | None:
        """The weights file that is named; None for a tag and its like."""
        path = Path(self.pretrained)
        return path if path.is_file() or path.suffix or "/" in self.pretrained else None

    def require_file(self) -> None:
        """UserError if a file is named that cannot hold weights, as far as a glance at it tells."""
        if self.file is None:
            return
        faults = {
            "there is no such file; give its path from here, or an absolute one": not self.file.exists(),
            "it is a folder: name the file in it": self.file.is_dir(),
        }
        if self.file.is_file():
            with self.file.open("rb") as stream:
                head = stream.read(len(_LFS))
            faults["it is empty: get it again"] = not head
            faults["it is Git LFS's pointer to the file: fetch that by `git lfs pull`"] = head == _LFS
        for fault, found in faults.items():
            if found:
                raise UserError(f"The weights {self.pretrained} of {self.model} cannot be read: {fault}.")


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
