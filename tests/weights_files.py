"""Weights files of many kinds, made from a model with random weights."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import nn


class _Archived(nn.Module):
    """A CLIP whose archive looks like OpenAI's: sizes as tensors beside the weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, child in model.named_children():
            setattr(self, name, child)
        for name, parameter in model.named_parameters(recurse=False):
            setattr(self, name, parameter)
        for name, value in {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}.items():
            self.register_buffer(name, torch.tensor(value))
        self.register_buffer("attn_mask", model.attn_mask)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.visual(image) * self.logit_scale.exp()


def half(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a model as OpenAI rounds them: matrices in half precision."""
    return {name: own.half() if own.dim() > 1 else own for name, own in model.state_dict().items()}


def save_archive(model: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Save a model, traced on pixels of a shape, as OpenAI's archives are: matrices in half precision."""
    with torch.no_grad():
        whole, pixels = _Archived(deepcopy(model)).eval(), torch.zeros(shape)
        traced = torch.jit.trace(whole, pixels, check_trace=False)
    for parameter in traced.parameters():
        if parameter.dim() > 1:
            parameter.data = parameter.data.half()
    traced.save(path)
