"""Building the region lookup: the only place where the teacher sees an image."""

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..clip.backbone import Backbone
from ..clip.prompted import PromptedClip
from ..clip.templates import template_features
from ..config import LookupConfig, Regions
from ..data.images import normalise
from ..data.loading import RegionDataset, load
from ..data.splits import Split
from ..files import sha256, sha256_of_json
from ..provenance import code_sha256
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
    workers: int = 0,
) -> None:
    """Write the teacher's features of `regions.count` regions of every training image to `folder`.

    Shards that a killed build finished are kept.  `workers` processes decode images (0: this one).
    Raises UserError for an undecodable image.
    """
    clip = PromptedClip(teacher, [])
    origin = Origin(
        split_sha256=split_sha256,
        code_sha256=code_sha256("clip/*.py", "data/images.py", "data/loading.py", "lookup/build.py"),
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
            images = _AllRegions(items, image_folder, regions, teacher.size)
            write_shard(path, *_encode(images, clip, config.batch_size, workers), own)
        shards.append(Shard(file=path.name, start=start, stop=start + len(items), sha256=sha256(path)))
        progress.update(len(items) * regions.count)
    text = template_features(clip, template, origin.class_names).cpu()
    write_classifier(folder / CLASSIFIER, text)
    manifest = Manifest(
        origin=origin, dim=text.shape[1], classifier_sha256=sha256(folder / CLASSIFIER), shards=shards
    )
    write_manifest(folder, manifest)


class _AllRegions(RegionDataset):
    """All regions of one image at a time."""

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """uint8 pixels (regions, 3, H, W) and geometry (regions, 5) of one image."""
        return self.crops(number, list(range(self.regions.count)))


def _encode(images: _AllRegions, clip: PromptedClip, batch_size: int, workers: int) -> tuple[Tensor, Tensor]:
    """Features (images, regions, D) and geometry (images, regions, 5)."""
    backbone = clip.backbone
    per_batch = max(1, batch_size // images.regions.count)
    features, geometry = [], []
    for pixels, drawn in load(DataLoader(images, per_batch, num_workers=workers)):
        flat = normalise(pixels.flatten(0, 1).to(backbone.device), backbone.mean, backbone.std)
        features.append(clip.image_features(flat).cpu().view(*drawn.shape[:2], -1))
        geometry.append(drawn)
    return torch.cat(features), torch.cat(geometry)
