"""The region lookup on disk: shards of features, described and checked by a manifest.

`manifest.json` names everything that the features depend on.  `shard-00000.safetensors`, … hold
`features` (images, regions, D), half precision and normalised, and `geometry` (images, regions, 5):
x, y, width, height, flip.  `classifier.safetensors` holds the teacher's text features (classes, D).
Features give exact logits for any label set, by one matrix product.
"""

import hashlib
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..config import BackboneConfig, Regions, Strict
from ..errors import UserError
from ..files import atomic, read_json, sha256, write_json

MANIFEST = "manifest.json"
CLASSIFIER = "classifier.safetensors"
_SEAL = "seal_sha256"


class Shard(Strict):
    """One file of the lookup: images `start` … `stop` - 1 of the split's train list."""

    file: str
    start: int
    stop: int
    sha256: str


class Origin(Strict):
    """Everything that the features of a lookup depend on."""

    split_sha256: str
    code_sha256: str
    teacher: BackboneConfig
    teacher_sha256: str
    template: str
    class_names: list[str]
    regions: Regions


class Manifest(Strict):
    """The content of manifest.json."""

    format: int = 1
    origin: Origin
    dim: int
    classifier_sha256: str
    shards: list[Shard]


def write_shard(path: Path, features: Tensor, geometry: Tensor, fingerprint: str) -> None:
    """Write one shard atomically; `fingerprint` says what it was made from."""
    tensors = {"features": features.half().contiguous(), "geometry": geometry.to(torch.int32)}
    with atomic(path) as partial:
        save_file(tensors, partial, {_SEAL: _seal(fingerprint, tensors)})


def is_finished(path: Path, fingerprint: str) -> bool:
    """Whether a whole and undamaged shard with this fingerprint lies at `path`."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return (file.metadata() or {}).get(_SEAL) == _seal(fingerprint, tensors)
    except (FileNotFoundError, SafetensorError):
        return False


def _seal(fingerprint: str, tensors: dict[str, Tensor]) -> str:
    """One hash of what a shard was made from and of what it holds.

    It is the only entry of the shard's metadata: several would be written in random order.
    """
    digest = hashlib.sha256(fingerprint.encode())
    for name in sorted(tensors):
        digest.update(tensors[name].numpy())
    return digest.hexdigest()


def write_classifier(path: Path, features: Tensor) -> None:
    """Write the teacher's text features (classes, D) atomically."""
    with atomic(path) as partial:
        save_file({"features": features.contiguous()}, partial)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; it is written last, so a lookup that has one is complete."""
    write_json(folder / MANIFEST, manifest.model_dump())


class RegionLookup:
    """Random access to a lookup's features; the shards are memory-mapped."""

    def __init__(self, folder: Path) -> None:
        """Open and verify a lookup; UserError names a file that is missing, damaged or foreign."""
        try:
            self.manifest = Manifest.model_validate(read_json(folder / MANIFEST))
        except ValidationError:
            raise UserError(f"{folder / MANIFEST} is no lookup manifest; build the lookup anew.") from None
        _verify(folder / CLASSIFIER, self.manifest.classifier_sha256)
        self.classifier = _map(folder / CLASSIFIER, "features")
        shards = []
        for shard in self.manifest.shards:
            _verify(folder / shard.file, shard.sha256)
            shards.append(_map(folder / shard.file, "features"))
        self._shards = shards
        self._starts = torch.tensor([shard.start for shard in self.manifest.shards])

    def require(self, **expected: object) -> None:
        """UserError if the lookup was made from something else, for example `split_sha256=…`."""
        for key, value in expected.items():
            found = getattr(self.manifest.origin, key)
            if found != value:
                raise UserError(
                    f"The lookup was made with {key} = {found!r}, but {value!r} is asked for: build it anew."
                )

    def features(self, images: Tensor, regions: Tensor) -> Tensor:
        """Teacher features (B, D) of region `regions[b]` of the split's train image `images[b]`."""
        shard_of = torch.searchsorted(self._starts, images, right=True) - 1
        rows = [
            self._shards[shard][image - self._starts[shard], region]
            for shard, image, region in zip(shard_of.tolist(), images, regions, strict=True)
        ]
        return torch.stack(rows).float()

    def logits(self, images: Tensor, regions: Tensor, scale: Tensor) -> Tensor:
        """Teacher logits (B, classes) over all classes: `scale` times the cosine similarity."""
        features = self.features(images, regions).to(scale.device)
        return scale * features @ self.classifier.to(scale.device).T


def _verify(path: Path, expected: str) -> None:
    fault = "damaged (its checksum is wrong)" if path.is_file() else "missing"
    if fault == "missing" or sha256(path) != expected:
        raise UserError(
            f"{path} is {fault}: delete {MANIFEST} beside it and run again; only what is wrong is made anew."
        )


def _map(path: Path, name: str) -> Tensor:
    with safe_open(path, framework="pt") as file:
        return file.get_tensor(name)
