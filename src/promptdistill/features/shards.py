"""Shards: safetensors files sealed with a hash of what they were made from and of what they hold.

A build that is interrupted goes on with the shards that are whole, and makes the others again.
"""

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import UserError
from ..files import atomic, sha256
from ..validation import Strict

_SEAL = "seal_sha256"


class Shard(Strict):
    """One file: images `start` … `stop` - 1."""

    file: str
    start: int
    stop: int
    sha256: str


def shard_ranges(images: int, shard_images: int) -> list[tuple[str, int, int]]:
    """File name, first image and end of each shard."""
    starts = range(0, images, shard_images)
    return [
        (f"shard-{number:05d}.safetensors", start, min(start + shard_images, images))
        for number, start in enumerate(starts)
    ]


def write_shard(path: Path, tensors: dict[str, Tensor], fingerprint: str) -> None:
    """Write one shard atomically; `fingerprint` says what it was made from."""
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
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
    """One hash of everything.

    It is the only entry of the shard's metadata: several would be written in random order.
    """
    digest = hashlib.sha256(fingerprint.encode())
    for name in sorted(tensors):
        digest.update(tensors[name].numpy())
    return digest.hexdigest()


def remove_other_shards(folder: Path, shards: list[Shard]) -> None:
    """Delete shards of an earlier, larger or differently cut build."""
    kept = {shard.file for shard in shards}
    for path in folder.glob("shard-*.safetensors"):
        if path.name not in kept:
            path.unlink()


def verify(path: Path, expected: str, manifest: str) -> None:
    """UserError if a file is missing, or its SHA-256 is not the one that its manifest states."""
    fault = "damaged (its checksum is wrong)" if path.is_file() else "missing"
    if fault == "missing" or sha256(path) != expected:
        raise UserError(
            f"{path} is {fault}: delete {manifest} beside it and run again; only what is wrong is made again."
        )


def mapped(path: Path, name: str) -> Tensor:
    """A tensor of a shard, memory-mapped: only what is used is read."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(name)
    except (FileNotFoundError, SafetensorError):
        raise UserError(
            f"{path} is missing or damaged: delete it and the manifest beside it, and run again."
        ) from None
