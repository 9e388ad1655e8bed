"""Stored regions: the pixels of the random regions of a list of images, cut and resized once.

A folder of shards with `pixels` (images, regions, 3, H, W) uint8, `geometry` (images, regions, 5) and
`crc32` (images, regions).  A training step that reads from it decodes nothing.
"""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..artifacts import MANIFEST
from ..code import fingerprint
from ..config.models import Regions
from ..data.splits import Item, Split
from ..errors import UserError
from ..validation import Strict
from .rows import Rows, images_sha256
from .shards import Manifest, mapped, read_manifest


class StoreOrigin(Strict):
    """Everything that stored regions depend on."""

    images_sha256: str  # of the images' paths, in order
    regions: Regions
    size: tuple[int, int]  # (H, W)
    code_sha256: str


class StoreManifest(Manifest):
    """The content of manifest.json; without shards if the regions take more disk than was allowed."""

    format: Literal[2] = 2
    origin: StoreOrigin
    gigabytes: float


class RegionStore:
    """Random access to stored regions; the shards are memory-mapped."""

    def __init__(self, folder: Path, items: list[Item], manifest: StoreManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._rows = Rows(items, folder)
        self._tensors: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def read(self, path: str, crops: list[int]) -> tuple[Tensor, Tensor]:
        """uint8 pixels (crops, 3, H, W) and geometry (crops, 5) of regions of the image `path`.

        Raises UserError for an image that is not stored, and for a damaged region: every one is checked at
        every use.
        """
        row = self._rows[path]
        shard = next(shard for shard in self.manifest.shards if row < shard.stop)
        if shard.file not in self._tensors:  # opened by the process that reads, once
            file = self.folder / shard.file
            pixels, geometry = (
                mapped(file, name, shard.stop - shard.start, self.manifest.origin.regions.count)
                for name in ("pixels", "geometry")
            )
            checksums = mapped(file, "crc32", shard.stop - shard.start)
            self._tensors[shard.file] = pixels, geometry, checksums
        pixels, geometry, checksums = (tensor[row - shard.start] for tensor in self._tensors[shard.file])
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
    manifest = read_manifest(StoreManifest, folder, "stored regions")
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


def find_store(
    manifests: Iterable[Path], split: Split, regions: Regions, size: tuple[int, int], images: list[Path]
) -> RegionStore | None:
    """Stored regions of a split's training images that happen to be there, if any serve.

    `manifests` may belong to any stores.  What is taken was cut by the code of today, and later than the
    files `images`, of which it is to be read, last changed: then the pixels are those of the files.
    """
    code = fingerprint("features.region_build")
    for path in manifests:
        try:
            store = open_store(path.parent, split.train, regions, size)
            changed = max((image.stat().st_ctime for image in images), default=0.0)
            if store and store.manifest.origin.code_sha256 == code and path.stat().st_mtime > changed:
                return store
        except (UserError, OSError):
            continue  # of another kind, or unreadable: the image files serve as well
    return None
