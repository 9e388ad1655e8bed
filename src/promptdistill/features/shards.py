"""Shards: safetensors files sealed with a hash of what they were made from and of what they hold.

A build that is interrupted goes on with the shards that are whole, and makes the others again.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..artifacts import MANIFEST, Inputs, Made, read_sealed, write_sealed
from ..data.splits import Item, missing_image
from ..errors import UserError
from ..files import atomic, sha256, sha256_of_json
from ..progress import progress
from ..validation import Strict

_SEAL = "seal_sha256"


class Shard(Strict):
    """One file: images `start` … `stop` - 1."""

    file: str = Field(pattern=r"^shard-\d{5,}\.safetensors$")
    start: int = Field(ge=0)
    stop: int
    sha256: str


class Manifest(Strict):
    """What every manifest.json lists: the shards beside it, and the files that they were made from."""

    made: Made | None = None
    inputs: Inputs = Field({})
    shards: list[Shard]


AnyManifest = TypeVar("AnyManifest", bound=Manifest)


def read_manifest(schema: type[AnyManifest], folder: Path, what: str) -> AnyManifest:
    """The manifest of a folder; UserError if it is missing, or is not one of this version."""
    path = folder / MANIFEST
    content = read_sealed(path)
    try:
        manifest = schema.model_validate(content)
        stops = [0, *(shard.stop for shard in manifest.shards)]
        pairs = zip(stops, manifest.shards, strict=False)
        if any(not stop == shard.start < shard.stop for stop, shard in pairs):
            raise ValueError("the shards do not follow one another")
        return manifest
    except ValueError:  # sealed, but of another kind or version
        raise UserError(
            f"{path} is not a manifest of {what}, or is one of an earlier version: delete it and run again."
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, last of all: a folder that has one is complete.  Remove other builds' shards."""
    write_sealed(folder / MANIFEST, manifest.model_dump())
    kept = {shard.file for shard in manifest.shards}
    for path in folder.glob("shard-*.safetensors"):
        if path.name not in kept:
            path.unlink()


def build_shards(
    folder: Path,
    items: list[Item],
    image_folder: Path,
    make: Callable[[int, int, Callable[[int], Any]], dict[str, Tensor]],
    *,
    origin: Strict,
    shard_images: int,
    desc: str,
    part: tuple[int, int] = (0, 1),
) -> list[Shard]:
    """Make the shards of some images in `folder` that are not there yet; all of them, in order.

    `make(start, stop, report)` gives the tensors of the images `start` … `stop` - 1, and reports how many
    more images are done.  A shard is kept if it is whole, and of the same image files and `origin`, which
    is all else that it depends on.  Of `part` (i, n) only every n-th shard is made, from index i on.
    """
    fingerprint = sha256_of_json(origin.model_dump())
    starts = range(0, len(items), shard_images)[part[0] :: part[1]]
    ranges = [(start, min(start + shard_images, len(items))) for start in starts]
    shards = []
    with progress(sum(stop - start for start, stop in ranges), desc, "image") as bar:
        for start, stop in ranges:
            path = folder / f"shard-{start // shard_images:05d}.safetensors"
            content = _content_sha256(items[start:stop], image_folder)
            own = sha256_of_json([fingerprint, start, stop, content])
            if _is_finished(path, own):
                bar.update(stop - start)
            else:
                made = make(start, stop, bar.update)
                tensors = {name: tensor.contiguous() for name, tensor in made.items()}
                (folder / MANIFEST).unlink(missing_ok=True)  # it would describe other shards
                with atomic(path) as partial:
                    save_file(tensors, partial, {_SEAL: _seal(own, tensors)})
            shards.append(Shard(file=path.name, start=start, stop=stop, sha256=sha256(path)))
    return shards


def _content_sha256(items: list[Item], image_folder: Path) -> str:
    """One hash of the bytes of all images of a list, in order."""
    digest = hashlib.sha256()
    for item in items:
        try:
            digest.update(sha256(image_folder / item.path).encode())
        except FileNotFoundError:
            raise missing_image(image_folder / item.path) from None
    return digest.hexdigest()


def _is_finished(path: Path, fingerprint: str) -> bool:
    """Whether a whole and undamaged shard with this fingerprint lies at `path`."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return (file.metadata() or {}).get(_SEAL) == _seal(fingerprint, tensors)
    except (FileNotFoundError, SafetensorError):
        return False


def _seal(fingerprint: str, tensors: dict[str, Tensor]) -> str:
    """One hash of everything.

    It is the only entry of the shard's metadata: several would be written in random order.
    """
    digest = hashlib.sha256(fingerprint.encode())
    for name in sorted(tensors):
        digest.update(tensors[name].numpy())
    return digest.hexdigest()


def verify(path: Path, expected: str) -> None:
    """UserError if a file is missing, or its SHA-256 is not the one that its manifest states."""
    fault = "damaged (its checksum is wrong)" if path.is_file() else "missing"
    if fault == "missing" or sha256(path) != expected:
        raise UserError(
            f"{path} is {fault}: delete {MANIFEST} beside it and run again; only what is wrong is made again."
        )


def mapped(path: Path, name: str, *leading: int) -> Tensor:
    """A tensor of a shard, memory-mapped: only what is used is read.

    UserError if its first dimensions are not `leading`, or the file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensor = file.get_tensor(name)
        if tensor.shape[: len(leading)] != leading or tensor.dim() == len(leading):
            raise ValueError(f"{name} is {tuple(tensor.shape)}")
        return tensor
    except (OSError, SafetensorError, ValueError):
        raise UserError(
            f"{path} is missing or damaged: delete it and the manifest beside it, and run again."
        ) from None
