"""One layer of an open_clip transformer, opened up so that keys and values can be shared."""

import torch.nn.functional as F
from torch import Tensor, nn


def queries_keys_values(block: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Projections of x (B, N, width), each (B, heads, N, width / heads)."""
    attn = block.attn
    projected = F.linear(block.ln_1(x), attn.in_proj_weight, attn.in_proj_bias)
    batch, length, width = x.shape
    heads = projected.view(batch, length, 3, attn.num_heads, width // attn.num_heads)
    query, key, value = heads.permute(2, 0, 3, 1, 4)
    return query, key, value


def attend(block: nn.Module, x: Tensor, query: Tensor, key: Tensor, value: Tensor, **mask: object) -> Tensor:
    """The layer's output (B, N, width) for its input x and the projections to attend with.

    `mask` goes to `scaled_dot_product_attention`: `is_causal` or `attn_mask`.
    """
    attended = F.scaled_dot_product_attention(query, key, value, **mask)
    attended = attended.transpose(1, 2).reshape(x.shape)
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x)))
