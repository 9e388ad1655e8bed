"""Stored regions: the pixels of the random regions of a list of images, cut and resized once.

A folder of shards with `pixels` (images, regions, 3, H, W) uint8, `geometry` (images, regions, 5) and
`crc32` (images, regions).  A training step that reads from it decodes nothing.
"""

import zlib
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from ..config import Regions
from ..data.splits import Item
from ..errors import UserError
from ..files import read_json, sha256_of_json
from ..validation import Strict
from .shards import Shard, mapped

MANIFEST = "manifest.json"


class Origin(Strict):
    """Everything that stored regions depend on."""

    images_sha256: str  # of the images' paths, in order
    regions: Regions
    size: tuple[int, int]  # (H, W)
    code_sha256: str


class Manifest(Strict):
    """The content of manifest.json; without shards if the regions take more disk than was allowed."""

    format: int = 1
    origin: Origin
    gigabytes: float
    shards: list[Shard]


def images_sha256(items: list[Item]) -> str:
    """One hash of the images of a list, and of their order."""
    return sha256_of_json([item.path for item in items])


class RegionStore:
    """Random access to stored regions; the shards are memory-mapped."""

    def __init__(self, folder: Path, items: list[Item], manifest: Manifest) -> None:
        self.folder = folder
        self._row = {item.path: number for number, item in enumerate(items)}
        self._shards = manifest.shards
        self._tensors: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def read(self, path: str, crops: list[int]) -> tuple[Tensor, Tensor]:
        """uint8 pixels (crops, 3, H, W) and geometry (crops, 5) of regions of the image `path`.

        Raises UserError for a damaged region: every one is checked at every use.
        """
        if path not in self._row:
            raise UserError(
                f"{self.folder} holds no regions of {path}: the image is not in the split's train list."
            )
        number = self._row[path]
        shard = next(shard for shard in self._shards if number < shard.stop)
        if shard.file not in self._tensors:  # opened by the process that reads, once
            file = self.folder / shard.file
            self._tensors[shard.file] = tuple(mapped(file, name) for name in ("pixels", "geometry", "crc32"))
        pixels, geometry, checksums = (tensor[number - shard.start] for tensor in self._tensors[shard.file])
        read = pixels[crops]
        if checksums_of(read).tolist() != checksums[crops].tolist():
            raise UserError(
                f"{self.folder / shard.file} is damaged (a region's checksum is wrong): delete the file and "
                f"{MANIFEST} beside it, and run again."
            )
        return read, geometry[crops]


def checksums_of(pixels: Tensor) -> Tensor:
    """CRC-32 (crops,) of each of the regions (crops, 3, H, W)."""
    return torch.tensor([zlib.crc32(crop.contiguous().numpy()) for crop in pixels])


def open_store(
    folder: Path | None, items: list[Item], regions: Regions, size: tuple[int, int]
) -> RegionStore | None:
    """The stored regions of the images `items`, checked to be those that are asked for.

    None if there are none: no folder is given, they were too large to keep, or are of another size.
    Raises UserError if they belong to other images, geometry, or too few regions.
    """
    if folder is None:
        return None
    try:
        manifest = Manifest.model_validate(read_json(folder / MANIFEST))
    except ValidationError:
        raise UserError(f"{folder / MANIFEST} is not a manifest of stored regions; cut them again.") from None
    origin = manifest.origin
    if not manifest.shards or origin.size != size:
        return None
    enough = regions.model_copy(update={"count": max(regions.count, origin.regions.count)})
    if (origin.images_sha256, origin.regions) != (images_sha256(items), enough):
        raise UserError(f"{folder} holds regions of other images, or another geometry: cut them again.")
    for shard in manifest.shards:
        if not (folder / shard.file).is_file():
            raise UserError(f"{folder / shard.file} is missing: delete {MANIFEST} beside it and run again.")
    return RegionStore(folder, items, manifest)
