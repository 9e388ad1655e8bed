"""Building lookups: the only place where the teacher sees an image."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..clip.backbone import Backbone, autocast
from ..clip.prompted import PromptedClip
from ..clip.templates import template_features
from ..config import LookupConfig, Precision, Regions
from ..data.images import normalise
from ..data.loading import AllRegions, WholeImages, load
from ..data.region_store import RegionStore, images_sha256
from ..data.splits import Item, Split
from ..files import sha256, sha256_of_json
from ..provenance import code_sha256
from ..shards import Shard, is_finished, shard_ranges, write_shard
from ..training.artifact import load_frozen
from .store import CLASSIFIER, Classifier, Manifest, Origin, write_classifier, write_manifest

_CODE = ("clip/*.py", "data/images.py", "data/loading.py", "lookup/build.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """A frozen image tower, with frozen prompts or none; `prompt_sha256` is of the prompt's file."""

    clip: PromptedClip
    prompt_sha256: str | None = None
    precision: Precision = "float32"

    @property
    def backbone(self) -> Backbone:
        """The model."""
        return self.clip.backbone

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Normalised features (B, D) on the CPU of uint8 pixels, or of normalised ones, (B, 3, H, W)."""
        pixels = pixels.to(self.backbone.device, non_blocking=True)
        if pixels.dtype == torch.uint8:
            pixels = normalise(pixels, self.backbone.mean, self.backbone.std)
        with autocast(self.backbone.device, self.precision):
            return self.clip.image_features(pixels).float().cpu()


def student_encoder(student: Backbone, boosting: Path | None, precision: Precision) -> Encoder:
    """A student as it is, or with a frozen boosting prompt."""
    cascade = [load_frozen(boosting, student)] if boosting else []
    return Encoder(
        clip=PromptedClip(student, cascade),
        prompt_sha256=sha256(boosting) if boosting else None,
        precision=precision,
    )


def build_teacher_lookup(
    split: Split,
    image_folder: Path,
    template: str,
    encoder: Encoder,
    regions: Regions,
    config: LookupConfig,
    folder: Path,
    *,
    store: RegionStore | None = None,
    workers: int = 0,
) -> None:
    """Write the teacher's features of `regions.count` regions of every training image to `folder`.

    Shards that a killed build, or `build_part`, finished are kept.  `workers` processes load images (0:
    this one).  Raises UserError for an undecodable image.
    """
    shards, origin = _build(
        split.train, image_folder, encoder, regions, "float16", config, folder, store, workers
    )
    names = split.class_names(split.labels)
    with torch.no_grad(), autocast(encoder.backbone.device, encoder.precision):
        text = template_features(encoder.clip, template, names).float().cpu()
    write_classifier(folder / CLASSIFIER, text)
    classifier = Classifier(template=template, class_names=names, sha256=sha256(folder / CLASSIFIER))
    write_manifest(folder, Manifest(origin=origin, shards=shards, classifier=classifier))


def build_part(
    split: Split,
    image_folder: Path,
    encoder: Encoder,
    regions: Regions,
    config: LookupConfig,
    folder: Path,
    part: tuple[int, int],
    *,
    store: RegionStore | None = None,
    workers: int = 0,
) -> None:
    """Write every n-th shard of a teacher's lookup, from number k on, for `part` (k, n).

    `build_teacher_lookup` finds them and does the rest.
    """
    _build(split.train, image_folder, encoder, regions, "float16", config, folder, store, workers, part)


def build_student_lookup(
    items: list[Item],
    image_folder: Path,
    encoder: Encoder,
    regions: Regions | None,
    config: LookupConfig,
    folder: Path,
    workers: int = 0,
) -> None:
    """Write a student's features of the images `items`: of random regions, or (None) of whole images.

    They stand in for a forward pass, so they are kept in single precision.
    """
    shards, origin = _build(items, image_folder, encoder, regions, "float32", config, folder, None, workers)
    write_manifest(folder, Manifest(origin=origin, shards=shards, classifier=None))


def _build(
    items: list[Item],
    image_folder: Path,
    encoder: Encoder,
    regions: Regions | None,
    dtype: str,
    config: LookupConfig,
    folder: Path,
    store: RegionStore | None,
    workers: int,
    part: tuple[int, int] = (0, 1),
) -> tuple[list[Shard], Origin]:
    """Make the shards of one part that are not there yet; all of them, and what they are made from."""
    origin = Origin(
        images_sha256=images_sha256(items),
        regions=regions,
        encoder=encoder.backbone.config,
        encoder_sha256=encoder.backbone.weights_sha256,
        prompt_sha256=encoder.prompt_sha256,
        precision=encoder.precision,
        dtype=dtype,
        code_sha256=code_sha256(*_CODE),
    )
    fingerprint = sha256_of_json(origin.model_dump())
    first, step = part
    mine = shard_ranges(len(items), config.shard_images)[first::step]
    count = regions.count if regions else 1
    shards = []
    total = sum(stop - start for _, start, stop in mine) * count
    with tqdm(total=total, desc="encoding", unit="region", mininterval=1) as progress:
        for name, start, stop in mine:
            path, own = folder / name, sha256_of_json([fingerprint, start, stop])
            done = progress.n
            if not is_finished(path, own):
                some = _samples(items[start:stop], image_folder, regions, encoder.backbone, store)
                tensors = _encode(some, encoder, max(1, config.batch_size // count), workers, progress.update)
                tensors["features"] = tensors["features"].to(getattr(torch, dtype))
                write_shard(path, tensors, own)
            progress.update(done + (stop - start) * count - progress.n)
            shards.append(Shard(file=name, start=start, stop=stop, sha256=sha256(path)))
    return shards, origin


def _samples(
    items: list[Item],
    image_folder: Path,
    regions: Regions | None,
    backbone: Backbone,
    store: RegionStore | None,
) -> Dataset:
    if regions is None:
        return WholeImages(items, image_folder, backbone.preprocess)
    return AllRegions(items, image_folder, regions, backbone.size, store)


def _encode(
    samples: Dataset, encoder: Encoder, batch_size: int, workers: int, report: Callable[[int], object]
) -> dict[str, Tensor]:
    """Features (images, regions, D) and geometry (images, regions, 5) of samples, `batch_size` at a time."""
    features, geometry = [], []
    loader = DataLoader(samples, batch_size, num_workers=workers, pin_memory=torch.cuda.is_available())
    for pixels, drawn in load(loader):
        features.append(encoder.encode(pixels.flatten(0, 1)).view(*drawn.shape[:2], -1))
        geometry.append(drawn.to(torch.int32))
        report(drawn.shape[0] * drawn.shape[1])
    return {"features": torch.cat(features), "geometry": torch.cat(geometry)}
