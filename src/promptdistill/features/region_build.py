"""Cutting the random regions of every training image, once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..artifacts import Sources
from ..code import fingerprint
from ..config.models import Regions
from ..data.splits import Item
from .loading import AllRegions, load
from .region_store import StoreManifest, StoreOrigin, checksums_of
from .rows import images_sha256
from .shards import build_shards, write_manifest

_SHARD_BYTES = 2**28  # about 90 images with 20 regions of 224 pixels


def store_regions(
    items: list[Item],
    image_folder: Path,
    regions: Regions,
    size: tuple[int, int],
    max_gb: float,
    folder: Path,
    workers: int = 0,
    sources: Sources | None = None,
) -> None:
    """Write the pixels of `regions.count` regions of every image to `folder`, resized to `size` (H, W).

    Every image is decoded once.  Beyond `max_gb` gigabytes nothing is kept, and the manifest says so.
    Whole shards of a killed build are kept.  `sources` are the files that all this comes from.  Raises
    UserError for an undecodable image.
    """
    origin = StoreOrigin(
        images_sha256=images_sha256(items),
        regions=regions,
        size=size,
        code_sha256=fingerprint("features.region_build"),
    )
    image_bytes = regions.count * 3 * size[0] * size[1]
    gigabytes = image_bytes * len(items) / 1e9

    def make(start: int, stop: int, report: Callable[[int], Any]) -> dict[str, Tensor]:
        images = AllRegions(items[start:stop], image_folder, regions, size)
        pixels = torch.empty(len(images), regions.count, 3, *size, dtype=torch.uint8)
        geometry = torch.empty(len(images), regions.count, 5, dtype=torch.int32)
        loaded = load(DataLoader(images, batch_size=None, num_workers=workers))
        for row, sample in enumerate(loaded):  # copied, so that a worker's memory is free again
            pixels[row], geometry[row] = sample
            report(1)
        crc32 = torch.stack([checksums_of(crops) for crops in pixels])
        return {"pixels": pixels, "geometry": geometry, "crc32": crc32}

    shards = []
    if gigabytes <= max_gb:
        shards = build_shards(
            folder,
            items,
            image_folder,
            make,
            origin=origin,
            shard_images=max(1, _SHARD_BYTES // image_bytes),
            desc="cutting regions",
        )
    header = sources.header() if sources else {}
    manifest = StoreManifest(origin=origin, gigabytes=gigabytes, shards=shards, **header)
    write_manifest(folder, manifest)
