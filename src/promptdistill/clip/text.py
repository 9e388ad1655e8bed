"""The prompted text tower.

The text mask is causal, and the start token and all context tokens are the same for every class, at
every layer, deep prompts included.  So keys and values of this shared prefix are computed once, and
only each class's own tokens run per class.  Nothing runs behind the longest end token.  Both savings
are exact; tests/clip holds the plain computation they are compared with.
"""

import torch
from torch import Tensor, nn

from ..errors import UserError
from .attention import attend, queries_keys_values

Block = list[Tensor]  # context tokens (n_ctx, width) of layers 0, 1, …, depth - 1


def tokenize(tokenizer, sentences: list[str], context_length: int) -> Tensor:
    """Token ids (sentences, context_length); UserError names a sentence that is too long."""
    longer = tokenizer(sentences, context_length=2 * context_length)
    if (longer[:, context_length:] != 0).any():
        row = int((longer[:, context_length:] != 0).any(dim=1).nonzero()[0])
        length = int((longer[row] != 0).sum())
        raise UserError(
            f"The prompt {sentences[row]!r} takes {length} tokens and the text tower holds "
            f"{context_length}: shorten the class name or use fewer context tokens."
        )
    return longer[:, :context_length]


def end_positions(clip: nn.Module, tokens: Tensor) -> Tensor:
    """Position (classes,) of each row's end-of-text token."""
    if clip.text_pool_type == "eos":
        return (tokens == clip.text_eos_id).int().argmax(dim=1)
    return tokens.argmax(dim=1)


def encode_text(clip: nn.Module, tokens: Tensor, blocks: list[Block]) -> Tensor:
    """Text features (classes, D), not normalised, of token ids (classes, n).

    The first block of context tokens replaces the embeddings at positions 1, 2, …, the next block
    those behind, and so on; `tokens` must have the same placeholder there in every row.
    """
    end = end_positions(clip, tokens)
    shared = _shared_length(tokens, int(end.min()))
    tokens = tokens[:, : int(end.max()) + 1]
    embedded = clip.token_embedding(tokens[:, shared:])
    own = embedded + clip.positional_embedding[shared : tokens.shape[1]]
    prefix = _insert(clip.token_embedding(tokens[:1, :shared]), blocks, layer=0)
    prefix = prefix + clip.positional_embedding[:shared]
    mask = clip.attn_mask[shared : tokens.shape[1], : tokens.shape[1]].to(own.dtype)

    for layer, resblock in enumerate(clip.transformer.resblocks):
        if layer > 0:
            prefix = _insert(prefix, blocks, layer)
        query, key, value = queries_keys_values(resblock, prefix)
        own_query, own_key, own_value = queries_keys_values(resblock, own)
        prefix = attend(resblock, prefix, query, key, value, is_causal=True)
        key = torch.cat([key.expand(len(own), -1, -1, -1), own_key], dim=2)
        value = torch.cat([value.expand(len(own), -1, -1, -1), own_value], dim=2)
        own = attend(resblock, own, own_query, key, value, attn_mask=mask)

    last = own[torch.arange(len(own), device=own.device), end - shared]
    projection = clip.text_projection
    last = clip.ln_final(last)
    return projection(last) if isinstance(projection, nn.Linear) else last @ projection


def _shared_length(tokens: Tensor, longest: int) -> int:
    """Number of leading positions, at most `longest`, that are equal in all rows."""
    different = (tokens[:, :longest] != tokens[:1, :longest]).any(dim=0)
    return int(different.int().argmax()) if different.any() else longest


def _insert(prefix: Tensor, blocks: list[Block], layer: int) -> Tensor:
    """Replace the context positions of `prefix` (1, P, width) by the tokens that blocks have here."""
    pieces, position = [prefix[:, :1]], 1
    for block in blocks:
        after = position + len(block[0])
        here = block[layer][None] if layer < len(block) else prefix[:, position:after]
        pieces.append(here.to(prefix.dtype))
        position = after
    return torch.cat([*pieces, prefix[:, position:]], dim=1)
