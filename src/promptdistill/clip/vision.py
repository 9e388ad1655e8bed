"""The prompted image tower: a ViT whose sequence is extended by learned tokens.

Only what is read is computed: a layer's output at tokens that the next layer replaces, and the last
layer's output at all but the class token, are left out.  tests/clip holds the plain computation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import is_plain, output, queries_keys_values
from .text import Block


def takes_prompts(visual: nn.Module) -> bool:
    """Whether an image tower is a transformer of plain layers, so that tokens can be added to it."""
    return hasattr(visual, "_embeds") and is_plain(visual.transformer)


def encode_image(clip: nn.Module, pixels: Tensor, blocks: list[Block]) -> Tensor:
    """Image features (B, D), not normalised, of pixels (B, 3, H, W).

    The tokens of all blocks stand behind the patches from before `ln_pre` on; at the input of layer
    `l` those of blocks deeper than `l` are replaced.
    """
    visual = clip.visual
    if not takes_prompts(visual):
        assert not blocks, "prompts of such a tower are refused when they are made"
        return visual(pixels)
    # Attention does not see order, and these tokens have no position: with the deepest blocks last,
    # those that the next layer replaces are always the end of the sequence.
    blocks = sorted(blocks, key=len)
    x = visual._embeds(pixels)  # class token and patches, positioned, behind ln_pre: (B, 1 + patches, width)
    own, layers = x.shape[1], visual.transformer.resblocks
    pooled_from = 1 if visual.attn_pool is None and visual.pool_type == "tok" else own  # rows
    x = torch.cat([x, *(_repeated(visual.ln_pre(block[0]), x) for block in blocks)], dim=1)
    for layer, resblock in enumerate(layers):
        if layer > 0:
            x = torch.cat([x, *(_repeated(block[layer], x) for block in blocks if layer < len(block))], dim=1)
        flowing = sum(len(block[0]) for block in blocks if len(block) <= layer + 1)
        needed = own + flowing if layer + 1 < len(layers) else pooled_from
        rows = x[:, :needed]
        query, key, value = queries_keys_values(resblock, x, rows if needed < x.shape[1] else None)
        x = output(resblock, rows, F.scaled_dot_product_attention(query, key, value))
    pooled, _ = visual._pool(x[:, :own])
    return pooled if visual.proj is None else pooled @ visual.proj


def _repeated(tokens: Tensor, x: Tensor) -> Tensor:
    """Tokens (n_ctx, width) for each image of the batch x."""
    return tokens.to(x.dtype).expand(len(x), -1, -1)
