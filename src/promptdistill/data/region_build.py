"""Cutting the random regions of every training image, once."""

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..config import Regions
from ..files import sha256, sha256_of_json, write_json
from ..provenance import code_sha256
from ..shards import Shard, is_finished, shard_ranges, write_shard
from .loading import AllRegions, load
from .region_store import MANIFEST, Manifest, Origin, checksums_of, images_sha256
from .splits import Item

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
            path, own = folder / name, sha256_of_json([fingerprint, start, stop])
            if not is_finished(path, own):
                write_shard(
                    path, _cut(AllRegions(items[start:stop], image_folder, regions, size), workers), own
                )
            shards.append(Shard(file=name, start=start, stop=stop, sha256=sha256(path)))
            progress.update(stop - start)
    manifest = Manifest(origin=origin, gigabytes=gigabytes, shards=shards)
    write_json(folder / MANIFEST, manifest.model_dump())


def _cut(images: AllRegions, workers: int) -> dict[str, Tensor]:
    loaded = list(load(DataLoader(images, batch_size=None, num_workers=workers)))
    pixels = torch.stack([pixels for pixels, _ in loaded])
    geometry = torch.stack([geometry for _, geometry in loaded]).to(torch.int32)
    return {
        "pixels": pixels,
        "geometry": geometry,
        "crc32": torch.stack([checksums_of(crops) for crops in pixels]),
    }
