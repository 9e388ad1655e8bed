"""One layer of an open_clip transformer, opened up so that each tower computes only what is read."""

import torch.nn.functional as F
from torch import Tensor, nn


def is_plain(transformer: nn.Module) -> bool:
    """Whether all layers are of open_clip's standard kind, which the functions below open up."""
    return all(type(block).__name__ == "ResidualAttentionBlock" for block in transformer.resblocks)


def queries_keys_values(
    block: nn.Module, x: Tensor, asking: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values of x (B, N, width), and queries of the rows `asking` (B, M, width) of it.

    Each is (B, heads, N or M, width / heads).  None: all rows ask.
    """
    attn = block.attn
    weight, bias = attn.in_proj_weight, attn.in_proj_bias
    normed = block.ln_1(x)
    if asking is None:
        projected = F.linear(normed, weight, bias)
        query, key, value = projected.chunk(3, dim=-1)
    else:
        width = x.shape[-1]
        query = F.linear(block.ln_1(asking), weight[:width], bias[:width])
        key, value = F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=-1)
    heads = [t.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for t in (query, key, value)]
    return heads[0], heads[1], heads[2]


def output(block: nn.Module, x: Tensor, attended: Tensor) -> Tensor:
    """The layer's output (B, M, width) for input rows x (B, M, width) that saw (B, heads, M, dim)."""
    joined = attended.transpose(1, 2).reshape(x.shape)
    x = x + block.ls_1(block.attn.out_proj(joined))
    return x + block.ls_2(block.mlp(block.ln_2(x)))
