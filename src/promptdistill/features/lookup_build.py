"""Building lookups: where a teacher sees images, each region once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..artifacts import Sources
from ..clip.backbone import Backbone
from ..clip.prompt_file import load_frozen
from ..clip.prompted import PromptedClip
from ..clip.templates import template_features
from ..code import fingerprint
from ..config.models import FeatureType, LookupConfig, Regions
from ..data.images import normalise
from ..data.splits import Item
from ..files import sha256
from .loading import AllRegions, WholeImages, load
from .lookup import LookupManifest, LookupOrigin, write_classifier
from .region_store import RegionStore
from .rows import images_sha256
from .shards import build_shards, write_manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """A frozen image tower, with frozen prompts or none; `prompt_sha256` is of the prompt's file."""

    clip: PromptedClip
    prompt_sha256: str | None = None

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
        return self.clip.image_features(pixels).cpu()


def frozen_encoder(backbone: Backbone, prompt: Path | None) -> Encoder:
    """A model as it is, or with a frozen prompt: a boosting prompt, or that of a tuned teacher."""
    if prompt is None:
        return Encoder(clip=PromptedClip(backbone, []))
    clip = PromptedClip(backbone, [load_frozen(prompt, backbone)])
    return Encoder(clip=clip, prompt_sha256=sha256(prompt))


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """What goes into a lookup, and where it is made.

    `regions` None stands for whole images, prepared as the model is tested.  Regions are read from
    `store` where there is one.  `workers` processes load images (0: this one).  `sources` are the files
    that all this comes from.
    """

    items: list[Item]
    image_folder: Path
    encoder: Encoder
    regions: Regions | None
    config: LookupConfig
    folder: Path
    store: RegionStore | None = None
    workers: int = 0
    sources: Sources | None = None


def build_teacher_lookup(build: Build, template: str, class_names: list[str]) -> None:
    """Write the teacher's features of random regions of every image, and its classifier.

    The classifier comes from `template`, or from the teacher's own prompt if it has one.  Shards that a
    killed build, or `build_part`, finished are kept.  Raises UserError for an undecodable image.
    """
    manifest = _make_shards(build, build.config.dtype)
    encoder, clip = build.encoder, build.encoder.clip
    tuned = encoder.prompt_sha256 is not None
    with torch.no_grad():
        text = clip.text_features(class_names) if tuned else template_features(clip, template, class_names)
    own, scale = None if tuned else template, float(encoder.backbone.logit_scale)
    classifier = write_classifier(build.folder, text, own, class_names, scale)
    write_manifest(build.folder, manifest.model_copy(update={"classifier": classifier}))


def build_part(build: Build, part: int, parts: int) -> None:
    """Write one of several parts of a teacher's lookup: every `parts`-th shard, from index `part` on.

    `build_teacher_lookup` finds them and does the rest.
    """
    _make_shards(build, build.config.dtype, (part, parts))


def build_student_lookup(build: Build) -> None:
    """Write a student's features of random regions, or of whole images.

    They stand in for a forward pass, so they are kept in single precision.
    """
    write_manifest(build.folder, _make_shards(build, "float32"))


def _make_shards(build: Build, dtype: FeatureType, part: tuple[int, int] = (0, 1)) -> LookupManifest:
    """Make the shards of one part that are not there yet; the manifest of that part."""
    encoder = build.encoder
    origin = LookupOrigin(
        images_sha256=images_sha256(build.items),
        regions=build.regions,
        encoder=encoder.backbone.config,
        encoder_sha256=encoder.backbone.weights_sha256,
        prompt_sha256=encoder.prompt_sha256,
        precision=encoder.backbone.precision,
        dtype=dtype,
        code_sha256=fingerprint("features.lookup_build"),
    )
    shards = build_shards(
        build.folder,
        build.items,
        build.image_folder,
        partial(_encode, build, getattr(torch, dtype)),
        origin=origin,
        shard_images=build.config.shard_images,
        desc="encoding",
        part=part,
    )
    header = build.sources.header() if build.sources else {}
    return LookupManifest(origin=origin, shards=shards, **header)


def _encode(
    build: Build, dtype: torch.dtype, start: int, stop: int, report: Callable[[int], Any]
) -> dict[str, Tensor]:
    """Features (images, regions, D) and geometry (images, regions, 5) of images `start` … `stop` - 1."""
    items, backbone, regions = build.items[start:stop], build.encoder.backbone, build.regions
    samples = WholeImages(items, build.image_folder, backbone.preprocess)
    if regions is not None:
        samples = AllRegions(items, build.image_folder, regions, backbone.size, build.store)
    images = max(1, build.config.batch_size // (regions.count if regions else 1))
    pin = torch.cuda.is_available()
    loader = DataLoader(samples, images, num_workers=build.workers, pin_memory=pin)
    features, geometry = [], []
    for pixels, drawn in load(loader):
        features.append(build.encoder.encode(pixels.flatten(0, 1)).view(*drawn.shape[:2], -1))
        geometry.append(drawn.to(torch.int32))
        report(len(drawn))
    return {"features": torch.cat(features).to(dtype), "geometry": torch.cat(geometry)}
