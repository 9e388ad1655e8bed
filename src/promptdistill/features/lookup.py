"""The region lookup on disk: shards of image features, described and checked by a manifest.

`manifest.json` names everything that the features depend on.  `shard-00000.safetensors`, … hold
`features` (images, regions, D), normalised, and `geometry` (images, regions, 5): x, y, width, height,
flip.  A teacher's lookup also has `classifier.safetensors`, its text features (classes, D).
Features, unlike stored logits, give exact logits for any label set, by one matrix product.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor

from ..artifacts import CLASSIFIER
from ..config.models import BackboneConfig, FeatureType, Precision, Regions
from ..errors import UserError
from ..files import atomic, sha256
from ..validation import Strict
from .shards import Manifest, mapped, read_manifest, verify

_FLOOR = 1e-6  # share of the kept mass that `renormalise` leaves to each other class


class LookupOrigin(Strict):
    """Everything that the features of a lookup depend on."""

    images_sha256: str  # of the images' paths, in order
    regions: Regions | None  # none: the whole image, as it is tested
    encoder: BackboneConfig
    encoder_sha256: str
    prompt_sha256: str | None  # of the frozen prompt's file, where the encoder has one
    precision: Precision  # of the encoder's arithmetic
    dtype: FeatureType  # of the stored features
    code_sha256: str


class Classifier(Strict):
    """The teacher's text features beside its image features: of one list of classes.

    They are of one template, or (none) of the teacher's own prompt.  `logit_scale` is the teacher's.
    """

    template: str | None
    class_names: list[str]
    logit_scale: float = Field(gt=0)
    sha256: str


def write_classifier(
    folder: Path, text: Tensor, template: str | None, class_names: list[str], logit_scale: float
) -> Classifier:
    """Write text features (classes, D); what a manifest says of them."""
    with atomic(folder / CLASSIFIER) as unfinished:
        save_file({"features": text.cpu().contiguous()}, unfinished)
    return Classifier(
        template=template,
        class_names=class_names,
        logit_scale=logit_scale,
        sha256=sha256(folder / CLASSIFIER),
    )


def read_classifier(folder: Path, classifier: Classifier) -> Tensor:
    """The text features (classes, D) that a manifest tells of; UserError if they are damaged."""
    verify(folder / CLASSIFIER, classifier.sha256)
    return mapped(folder / CLASSIFIER, "features", len(classifier.class_names))


class LookupManifest(Manifest):
    """The content of manifest.json."""

    format: Literal[4] = 4
    origin: LookupOrigin
    classifier: Classifier | None = None


class RegionLookup:
    """Random access to a lookup's features; the shards are memory-mapped."""

    def __init__(self, folder: Path) -> None:
        """Open and verify a lookup; UserError names a file that is missing, damaged or foreign."""
        self.folder = folder
        self.manifest = read_manifest(LookupManifest, folder, "a lookup")
        for shard in self.manifest.shards:
            verify(folder / shard.file, shard.sha256)
        self._shards = [
            mapped(folder / shard.file, "features", shard.stop - shard.start, self.regions)
            for shard in self.manifest.shards
        ]
        self._starts = torch.tensor([shard.start for shard in self.manifest.shards])
        self._text = None
        if self.manifest.classifier is not None:
            self._text = read_classifier(folder, self.manifest.classifier)

    @property
    def regions(self) -> int:
        """Number of regions of each image."""
        return 1 if self.manifest.origin.regions is None else self.manifest.origin.regions.count

    def require(self, **expected: object) -> None:
        """UserError if the lookup was made from something else, for example `images_sha256=…`."""
        for key, value in expected.items():
            found = getattr(self.manifest.origin, key)
            if found != value:
                raise UserError(
                    f"The lookup {self.folder} was made with {key} = {found!r}, but {value!r} is asked for: "
                    "build it again."
                )

    def require_regions(self, regions: Regions) -> None:
        """UserError unless the lookup holds all of these regions; it may hold more of each image."""
        found = self.manifest.origin.regions
        count = 0 if found is None else found.count
        self.require(regions=regions.model_copy(update={"count": max(count, regions.count)}))

    def require_classifier(self, template: str | None, class_names: list[str]) -> None:
        """UserError unless the teacher's text features are those of these classes and this template.

        No template stands for the teacher's own prompt.
        """
        found = self.manifest.classifier
        if found is None or (found.template, found.class_names) != (template, class_names):
            how = "its own prompt" if template is None else f"the template {template!r}"
            raise UserError(
                f"The lookup {self.folder} has no text features of the teacher for these classes and {how}: "
                "build it again."
            )

    @property
    def text(self) -> Tensor:
        """The teacher's normalised text features (classes, D)."""
        assert self._text is not None, "a lookup without a teacher's classifier has no own classes"
        return self._text

    @property
    def logit_scale(self) -> float:
        """The teacher's own `exp(logit_scale)`."""
        return self.manifest.classifier.logit_scale

    def every_region(self) -> tuple[Tensor, Tensor]:
        """Image and region numbers (images · regions,) of all regions."""
        return _pairs(self.manifest.shards[-1].stop, self.regions)

    def features(self, images: Tensor, regions: Tensor) -> Tensor:
        """Features (B, D), single precision, of region `regions[b]` of image `images[b]`."""
        shard_of = torch.searchsorted(self._starts, images, right=True) - 1
        rows = [
            self._shards[shard][image - self._starts[shard], region]
            for shard, image, region in zip(shard_of.tolist(), images, regions, strict=True)
        ]
        return torch.stack(rows).float()

    def logits(
        self,
        images: Tensor,
        regions: Tensor,
        scale: Tensor,
        *,
        classifier: Tensor | None = None,
        top_k: int | None = None,
    ) -> Tensor:
        """Logits (B, classes): `scale` times the cosine similarity with text features (classes, D).

        None takes the teacher's own classifier of the data set; any other label set or template is
        one more matrix product.  `top_k` keeps the greatest logits of each region, see `smooth_top_k`.
        """
        text = self.text if classifier is None else classifier
        features = self.features(images, regions).to(scale.device)
        logits = scale * features @ text.to(scale.device).T
        return logits if top_k is None else smooth_top_k(logits, top_k)


def _pairs(images: int, regions: int) -> tuple[Tensor, Tensor]:
    return torch.arange(images).repeat_interleave(regions), torch.arange(regions).repeat(images)


class LookupSubset:
    """Some of a lookup's images, in an order of their own, and, of a teacher's, some of its classes."""

    def __init__(
        self, lookup: RegionLookup, images: Tensor, regions: int, text: Tensor | None = None
    ) -> None:
        """`images` (N,) are rows of the lookup's, of each of which `regions` are seen.

        `text` (classes, D) are a teacher's text features of the classes that it is asked about.
        """
        self._lookup = lookup
        self._regions = regions
        self._images = images
        self._text = text

    def features(self, images: Tensor, regions: Tensor) -> Tensor:
        """Features (B, D) of region `regions[b]` of image `images[b]`, as `RegionLookup.features`."""
        return self._lookup.features(self._images[images], regions)

    def logits(self, images: Tensor, regions: Tensor, scale: Tensor) -> Tensor:
        """Logits (B, classes) of region `regions[b]` of image `images[b]`, as `RegionLookup.logits`."""
        return self._lookup.logits(self._images[images], regions, scale, classifier=self._text)

    def every_region(self) -> tuple[Tensor, Tensor]:
        """Image and region numbers (images · regions,) of all regions of these images."""
        return _pairs(len(self._images), self._regions)


def smooth_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits (B, classes) whose `k` greatest of a row are kept; the others share the rest evenly.

    The softmax of the result has the same probabilities at the kept places, and the remaining mass in
    equal parts elsewhere (marginal smoothing, FKD, arXiv 2112.01528).
    """

    def rest(kept: Tensor) -> Tensor:
        mass = logits.masked_fill(kept, -torch.inf).logsumexp(dim=1, keepdim=True)
        return mass - torch.tensor(float(logits.shape[1] - k)).log()

    return _keep_top(logits, k, rest)


def fkd_logits(logits: Tensor, k: int) -> Tensor:
    """Logits whose `k` greatest are kept; the others are (1 - sum of these) / (classes - k).

    FKD's rule, which is meant for probabilities, on logits, as files of FDBPL's hold them.
    """
    return _keep_top(logits, k, lambda kept: (1 - (logits * kept).sum(1, True)) / (logits.shape[1] - k))


def renormalise(logits: Tensor, k: int) -> Tensor:
    """Logits whose `k` greatest are kept; the others have next to no probability, for KL to stay finite."""
    floor = torch.tensor(_FLOOR).log()
    return _keep_top(
        logits, k, lambda kept: logits.masked_fill(~kept, -torch.inf).logsumexp(1, keepdim=True) + floor
    )


def _keep_top(logits: Tensor, k: int, rest: Callable[[Tensor], Tensor]) -> Tensor:
    """Logits (B, classes) whose `k` greatest of a row are kept; the others get the `rest` (B, 1) of these."""
    if k >= logits.shape[1]:
        return logits
    kept = torch.zeros_like(logits, dtype=torch.bool)
    kept.scatter_(1, logits.topk(k, dim=1).indices, True)
    return torch.where(kept, logits, rest(kept))


FILLINGS = {"even_mass": smooth_top_k, "fkd_logits": fkd_logits, "renormalise": renormalise}
