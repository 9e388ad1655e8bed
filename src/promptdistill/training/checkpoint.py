"""Checkpoints of a training: everything that the next step depends on, never pickled."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..files import atomic
from ..methods.base import Method


def save_checkpoint(
    path: Path, method: Method, optimizer: torch.optim.SGD, progress: dict[str, Any], fingerprint: str
) -> None:
    """Write parameters, buffers, momenta and the JSON value `progress` atomically."""
    tensors = {f"method.{name}": tensor for name, tensor in method.state_dict().items()}
    for name, parameter in method.named_parameters():
        momentum = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"fingerprint": fingerprint, "progress": json.dumps(progress)}
    with atomic(path) as partial:
        save_file(tensors, partial, metadata | {"sha256": _sha256(metadata, tensors)})


def load_checkpoint(
    path: Path, method: Method, optimizer: torch.optim.SGD, fingerprint: str
) -> dict[str, Any] | None:
    """Restore what `save_checkpoint` wrote and return its `progress`.

    None, with nothing changed, if there is no whole checkpoint or it belongs to another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                return None
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    if metadata.pop("sha256", None) != _sha256(metadata, tensors):
        return None
    method.load_state_dict(_under("method.", tensors))
    parameters = dict(method.named_parameters())
    for name, momentum in _under("momentum.", tensors).items():
        optimizer.state[parameters[name]]["momentum_buffer"] = momentum.to(parameters[name].device)
    return json.loads(metadata["progress"])


def _sha256(metadata: dict[str, str], tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 of all that a checkpoint holds."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
