"""Checkpoints of a training: everything that the next step depends on, never pickled."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..artifacts import is_whole, sealed
from ..clip.prompt_file import tensor_bytes
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
        save_file(tensors, partial, sealed(metadata, tensor_bytes(tensors)))


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
        if not is_whole(metadata, tensor_bytes(tensors)):
            return None
    except (OSError, SafetensorError, TypeError):  # TypeError: of numbers that numpy does not know
        return None
    method.load_state_dict(_under("method.", tensors))
    parameters = dict(method.named_parameters())
    for name, momentum in _under("momentum.", tensors).items():
        optimizer.state[parameters[name]]["momentum_buffer"] = momentum.to(parameters[name].device)
    return json.loads(metadata["progress"])


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
