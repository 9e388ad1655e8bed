"""The prompted image tower: a ViT whose sequence is extended by learned tokens."""

import torch
from torch import Tensor, nn

from .attention import attend, queries_keys_values
from .text import Block


def encode_image(clip: nn.Module, pixels: Tensor, blocks: list[Block]) -> Tensor:
    """Image features (B, D), not normalised, of pixels (B, 3, H, W).

    The tokens of all blocks stand behind the patches, in the order of `blocks`, from before
    `ln_pre` on; at the input of layer `l` those of blocks deeper than `l` are replaced.
    """
    visual = clip.visual
    if not blocks:
        return visual(pixels)
    batch = len(pixels)
    x = visual._embeds(pixels)  # class token and patches, positioned, behind ln_pre: (B, 1 + patches, width)
    own = x.shape[1]
    first = [visual.ln_pre(block[0]).expand(batch, -1, -1) for block in blocks]
    x = torch.cat([x, *first], dim=1)
    for layer, resblock in enumerate(visual.transformer.resblocks):
        if layer > 0:
            x = _replace(x, own, blocks, layer)
        x = attend(resblock, x, *queries_keys_values(resblock, x))
    pooled, _ = visual._pool(x[:, :own])
    return pooled if visual.proj is None else pooled @ visual.proj


def _replace(x: Tensor, position: int, blocks: list[Block], layer: int) -> Tensor:
    """Replace the tokens from `position` on, block by block, where a block has some at this layer."""
    pieces = [x[:, :position]]
    for block in blocks:
        after = position + len(block[0])
        deep = layer < len(block)
        pieces.append(block[layer].expand(len(x), -1, -1) if deep else x[:, position:after])
        position = after
    return torch.cat(pieces, dim=1)
