"""Shapes of open_clip's models, read from their configuration files without importing open_clip."""

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..miniature import MODELS
from ..validation import did_you_mean

# What open_clip takes where a configuration does not say.
_MLP_RATIO = 4.0
_VOCABULARY = 49408
_CONTEXT_LENGTH = 77


@dataclass(frozen=True, kw_only=True, slots=True)
class Tower:
    """A transformer: layers of attention and an MLP of `hidden` units."""

    width: int
    layers: int
    hidden: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTower(Tower):
    """A ViT whose sequence is a class token and `patches` patches of `patch_pixels` pixels each."""

    patches: int
    patch_pixels: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNet:
    """CLIP's own ResNet: a stem of `width` channels, stages of so many `blocks`, and attention that pools."""

    width: int
    blocks: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A CLIP: its towers, words of its vocabulary, dimension of its features (D), pixels (H, W) that it sees.

    `context_length` counts the tokens that the text tower holds.

    `image` is None for a tower that is not a plain ViT, `resnet` for one that is not CLIP's ResNet.
    """

    name: str
    image: ImageTower | None
    resnet: ResNet | None
    text: Tower
    vocabulary: int
    context_length: int
    dim: int
    size: tuple[int, int]


@cache
def _files() -> dict[str, Path]:
    open_clip = Path(importlib.util.find_spec("open_clip").origin)  # a dependency, so it is there
    folders = (MODELS, open_clip.with_name("model_configs"))
    return {path.stem: path for folder in folders for path in folder.glob("*.json")}


def known_models() -> set[str]:
    """Names of all of open_clip's models, and of the miniature ones."""
    return set(_files())


@cache
def read_architecture(model: str) -> Architecture:
    """The shape of an open_clip model, or of a miniature one; UserError for an unknown name."""
    files = _files()
    if model not in files:
        hint = did_you_mean(model, list(files))
        raise UserError(f"open_clip knows no model {model!r}{hint if 'mean' in hint else ''}.")
    content = json.loads(files[model].read_text(encoding="utf-8"))
    vision, text = content["vision_cfg"], content["text_cfg"]
    if "width" not in text:
        raise UserError(
            f"{model} has no causal CLIP text tower, so it takes no text prompts: "
            "use one of open_clip's CLIP models, such as ViT-B-16 or RN50."
        )
    size, image, resnet = _pair(vision.get("image_size", 224)), None, None
    layers = None if "timm_model_name" in vision else vision.get("layers")
    if isinstance(layers, list):
        resnet = ResNet(width=vision["width"], blocks=tuple(layers))
    elif layers is not None:
        patch = _pair(vision["patch_size"])
        patches = (size[0] // patch[0]) * (size[1] // patch[1])
        image = ImageTower(**_sizes(vision), patches=patches, patch_pixels=patch[0] * patch[1])
    return Architecture(
        name=model,
        image=image,
        resnet=resnet,
        text=Tower(**_sizes(text)),
        vocabulary=text.get("vocab_size", _VOCABULARY),
        context_length=text.get("context_length", _CONTEXT_LENGTH),
        dim=content["embed_dim"],
        size=size,
    )


def _pair(value: int | list[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _sizes(tower: dict[str, Any]) -> dict[str, int]:
    hidden = int(tower["width"] * tower.get("mlp_ratio", _MLP_RATIO))
    return {"width": tower["width"], "layers": tower["layers"], "hidden": hidden}
