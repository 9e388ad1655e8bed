"""CLIP's towers with prompt tokens: every token through every layer, padding included.

A block holds one prompt's tokens (n_ctx, width) for layers 0, 1, …; `blocks` lists blocks in the
order in which they stand in the sequence.  Both towers return features that are not normalised.
"""

import torch
from torch import Tensor, nn

Block = list[Tensor]


def text_features(clip: nn.Module, tokens: Tensor, blocks: list[Block]) -> Tensor:
    """Features (classes, D) of token ids (classes, 77); blocks replace positions 1, 2, …"""
    x = clip.token_embedding(tokens)
    x = overwrite(x, blocks, layer=0, start=1)
    x = x + clip.positional_embedding
    for layer, resblock in enumerate(clip.transformer.resblocks):
        if layer > 0:
            x = overwrite(x, blocks, layer, start=1)
        x = resblock(x, attn_mask=clip.attn_mask)
    x = clip.ln_final(x)
    ends = x[torch.arange(len(x)), tokens.argmax(dim=1)]
    projection = clip.text_projection
    return projection(ends) if isinstance(projection, nn.Linear) else ends @ projection


def image_features(clip: nn.Module, pixels: Tensor, blocks: list[Block]) -> Tensor:
    """Features (B, D) of pixels (B, 3, H, W), by a ViT; the blocks stand behind the patches."""
    visual = clip.visual
    x = visual.conv1(pixels).flatten(2).transpose(1, 2)
    cls = visual.class_embedding.expand(len(x), 1, -1)
    x = torch.cat([cls, x], dim=1) + visual.positional_embedding
    own = x.shape[1]
    for block in blocks:
        x = torch.cat([x, block[0].expand(len(x), -1, -1)], dim=1)
    x = visual.ln_pre(x)
    for layer, resblock in enumerate(visual.transformer.resblocks):
        if layer > 0:
            x = overwrite(x, blocks, layer, start=own)
        x = resblock(x)
    return visual.ln_post(x[:, 0]) @ visual.proj


def overwrite(x: Tensor, blocks: list[Block], layer: int, start: int) -> Tensor:
    """A copy of x (B, n, width) with the blocks' tokens of this layer written from position `start` on.

    Where a block has no tokens at this layer, what x holds at its positions stays.
    """
    x = x.clone()
    for block in blocks:
        if layer < len(block):
            x[:, start : start + len(block[0])] = block[layer]
        start += len(block[0])
    return x
