"""Cutting the random regions of every training image, once."""

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..config import Regions
from ..data.images import content_sha256
from ..data.splits import Item
from ..files import sha256, sha256_of_json, write_json
from ..provenance import code_sha256
from .loading import AllRegions, load
from .region_store import MANIFEST, Manifest, Origin, checksums_of, images_sha256
from .shards import Shard, is_finished, remove_other_shards, shard_ranges, write_shard

_SHARD_BYTES = 2**28  # about 90 images with 20 regions of 224 pixels


def store_regions(
    items: list[Item],
    image_folder: Path,
    regions: Regions,
    size: tuple[int, int],
    max_gb: float,
    folder: Path,
    workers: int = 0,
) -> None:
    """Write the pixels of `regions.count` regions of every image to `folder`.

    Every image is decoded once.  Beyond `max_gb` gigabytes nothing is kept, and the manifest says so.
    Whole shards of a killed build are kept.  Raises UserError for an undecodable image.
    """
    origin = Origin(
        images_sha256=images_sha256(items),
        regions=regions,
        size=size,
        code_sha256=code_sha256("data/images.py", "data/loading.py", "data/region_build.py"),
    )
    image_bytes = regions.count * 3 * size[0] * size[1]
    gigabytes = image_bytes * len(items) / 1e9
    shards = []
    if gigabytes <= max_gb:
        fingerprint = sha256_of_json(origin.model_dump())
        progress = tqdm(total=len(items), desc="cutting regions", unit="image", mininterval=1)
        for name, start, stop in shard_ranges(len(items), max(1, _SHARD_BYTES // image_bytes)):
            path, content = folder / name, content_sha256(items[start:stop], image_folder)
            own = sha256_of_json([fingerprint, start, stop, content])
            if not is_finished(path, own):
                tensors = _cut(AllRegions(items[start:stop], image_folder, regions, size), workers)
                (folder / MANIFEST).unlink(missing_ok=True)  # it would describe other shards
                write_shard(path, tensors, own)
            shards.append(Shard(file=name, start=start, stop=stop, sha256=sha256(path)))
            progress.update(stop - start)
    manifest = Manifest(origin=origin, gigabytes=gigabytes, shards=shards)
    write_json(folder / MANIFEST, manifest.model_dump())
    remove_other_shards(folder, shards)


def _cut(images: AllRegions, workers: int) -> dict[str, Tensor]:
    """Pixels, geometry and checksums of all regions of some images."""
    count, (height, width) = images.regions.count, images.size
    pixels = torch.empty(len(images), count, 3, height, width, dtype=torch.uint8)
    geometry = torch.empty(len(images), count, 5, dtype=torch.int32)
    loaded = load(DataLoader(images, batch_size=None, num_workers=workers))
    for number, sample in enumerate(loaded):  # copied, so that a worker's memory is free again
        pixels[number], geometry[number] = sample
    crc32 = torch.stack([checksums_of(crops) for crops in pixels])
    return {"pixels": pixels, "geometry": geometry, "crc32": crc32}
