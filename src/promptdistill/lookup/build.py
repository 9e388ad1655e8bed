"""Building the region lookup: the only place where the teacher sees an image."""

from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..clip.backbone import Backbone
from ..clip.prompted import PromptedClip
from ..clip.templates import template_features
from ..config import LookupConfig, Regions
from ..data.images import draw_region, normalise, open_image, region_pixels
from ..data.splits import Item, Split
from ..files import sha256, sha256_of_json
from .store import (
    CLASSIFIER,
    Manifest,
    Origin,
    Shard,
    is_finished,
    write_classifier,
    write_manifest,
    write_shard,
)


@torch.no_grad()
def build_lookup(
    split: Split,
    split_sha256: str,
    image_folder: Path,
    template: str,
    teacher: Backbone,
    regions: Regions,
    config: LookupConfig,
    folder: Path,
) -> None:
    """Write the teacher's features of `regions.count` regions of every training image to `folder`.

    Shards that a killed build finished are kept.  Raises UserError for an undecodable image.
    """
    clip = PromptedClip(teacher, [])
    origin = Origin(
        split_sha256=split_sha256,
        teacher=teacher.config,
        teacher_sha256=teacher.weights_sha256,
        template=template,
        class_names=split.class_names(split.labels),
        regions=regions,
    )
    fingerprint = sha256_of_json(origin.model_dump())
    shards = []
    progress = tqdm(total=len(split.train) * regions.count, desc="teacher", unit="region", mininterval=1)
    for number, start in enumerate(range(0, len(split.train), config.shard_images)):
        items = split.train[start : start + config.shard_images]
        path = folder / f"shard-{number:05d}.safetensors"
        own = sha256_of_json([fingerprint, start, start + len(items)])
        if not is_finished(path, own):
            write_shard(path, *_encode(items, image_folder, clip, regions, config.batch_size), own)
        shards.append(Shard(file=path.name, start=start, stop=start + len(items), sha256=sha256(path)))
        progress.update(len(items) * regions.count)
    text = template_features(clip, template, origin.class_names).cpu()
    write_classifier(folder / CLASSIFIER, text)
    manifest = Manifest(
        origin=origin, dim=text.shape[1], classifier_sha256=sha256(folder / CLASSIFIER), shards=shards
    )
    write_manifest(folder, manifest)


def _encode(
    items: list[Item], image_folder: Path, clip: PromptedClip, regions: Regions, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Features (images, regions, D) and geometry (images, regions, 5) of some images' regions."""
    backbone = clip.backbone
    geometry, features, waiting = [], [], []

    def encode_waiting() -> None:
        pixels = torch.stack(waiting).to(backbone.device)
        features.append(clip.image_features(normalise(pixels, backbone.mean, backbone.std)).cpu())
        waiting.clear()

    for item in items:
        image = open_image(image_folder / item.path)
        for crop in range(regions.count):
            region = draw_region(item.path, crop, regions, image.size)
            geometry.append(region)
            waiting.append(region_pixels(image, region, backbone.size))
            if len(waiting) == batch_size:
                encode_waiting()
    if waiting:
        encode_waiting()
    shape = (len(items), regions.count, -1)
    return torch.cat(features).view(shape), torch.tensor(geometry).view(shape)
