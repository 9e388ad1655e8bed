"""Building lookups: where a teacher sees images, each region once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..artifacts import CLASSIFIER, Inputs
from ..clip.backbone import Backbone
from ..clip.prompt_file import load_frozen
from ..clip.prompted import PromptedClip
from ..clip.templates import template_features
from ..code import fingerprint
from ..config import FeatureType, LookupConfig, Regions
from ..data.images import normalise
from ..data.splits import Item
from ..files import sha256
from .loading import AllRegions, WholeImages, load
from .lookup import Classifier, LookupManifest, LookupOrigin, write_classifier
from .region_store import RegionStore
from .rows import images_sha256
from .shards import Shard, build_shards, write_manifest


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
    cascade = [load_frozen(prompt, backbone)] if prompt else []
    return Encoder(
        clip=PromptedClip(backbone, cascade),
        prompt_sha256=sha256(prompt) if prompt else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """What goes into a lookup, and where it is made.

    `regions` None stands for whole images, prepared as the model is tested.  Regions are read from
    `store` where there is one.  `workers` processes load images (0: this one).  `inputs` are the files that
    all this comes from.
    """

    items: list[Item]
    image_folder: Path
    encoder: Encoder
    regions: Regions | None
    config: LookupConfig
    folder: Path
    store: RegionStore | None = None
    workers: int = 0
    inputs: Inputs = field(default_factory=dict)

    @property
    def samples_per_image(self) -> int:
        """Regions of each image."""
        return self.regions.count if self.regions else 1

    def samples(self, start: int, stop: int) -> Dataset:
        """Images `start` … `stop` - 1: all regions of one at a time, or the whole one."""
        items, backbone = self.items[start:stop], self.encoder.backbone
        if self.regions is None:
            return WholeImages(items, self.image_folder, backbone.preprocess)
        return AllRegions(items, self.image_folder, self.regions, backbone.size, self.store)


def build_teacher_lookup(build: Build, template: str, class_names: list[str]) -> None:
    """Write the teacher's features of random regions of every image, and its classifier.

    The classifier comes from `template`, or from the teacher's own prompt if it has one.  Shards that a
    killed build, or `build_part`, finished are kept.  Raises UserError for an undecodable image.
    """
    origin, shards = _make_shards(build, build.config.dtype)
    encoder, path = build.encoder, build.folder / CLASSIFIER
    tuned = encoder.prompt_sha256 is not None
    with torch.no_grad():
        clip = encoder.clip
        text = clip.text_features(class_names) if tuned else template_features(clip, template, class_names)
    write_classifier(path, text.cpu())
    classifier = Classifier(
        template=None if tuned else template,
        class_names=class_names,
        logit_scale=float(encoder.backbone.logit_scale),
        sha256=sha256(path),
    )
    _finish(build, origin, shards, classifier)


def build_part(build: Build, part: int, parts: int) -> None:
    """Write one of several parts of a teacher's lookup: every `parts`-th shard, from index `part` on.

    `build_teacher_lookup` finds them and does the rest.
    """
    _make_shards(build, build.config.dtype, (part, parts))


def build_student_lookup(build: Build) -> None:
    """Write a student's features of random regions, or of whole images.

    They stand in for a forward pass, so they are kept in single precision.
    """
    _finish(build, *_make_shards(build, "float32"), None)


def _finish(build: Build, origin: LookupOrigin, shards: list[Shard], classifier: Classifier | None) -> None:
    manifest = LookupManifest(origin=origin, shards=shards, classifier=classifier, inputs=build.inputs)
    write_manifest(build.folder, manifest)


def _make_shards(
    build: Build, dtype: FeatureType, part: tuple[int, int] = (0, 1)
) -> tuple[LookupOrigin, list[Shard]]:
    """Make the shards of one part that are not there yet; what they are made from, and all of them."""
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

    def make(start: int, stop: int, report: Callable[[int], Any]) -> dict[str, Tensor]:
        tensors = _encode(build, start, stop, report)
        return {**tensors, "features": tensors["features"].to(getattr(torch, dtype))}

    shards = build_shards(
        build.folder,
        build.items,
        build.image_folder,
        make,
        origin=origin,
        shard_images=build.config.shard_images,
        desc="encoding",
        part=part,
    )
    return origin, shards


def _encode(build: Build, start: int, stop: int, report: Callable[[int], Any]) -> dict[str, Tensor]:
    """Features (images, regions, D) and geometry (images, regions, 5) of images `start` … `stop` - 1."""
    images = max(1, build.config.batch_size // build.samples_per_image)
    loader = DataLoader(
        build.samples(start, stop),
        images,
        num_workers=build.workers,
        pin_memory=torch.cuda.is_available(),
    )
    features, geometry = [], []
    for pixels, drawn in load(loader):
        features.append(build.encoder.encode(pixels.flatten(0, 1)).view(*drawn.shape[:2], -1))
        geometry.append(drawn.to(torch.int32))
        report(len(drawn))
    return {"features": torch.cat(features), "geometry": torch.cat(geometry)}
