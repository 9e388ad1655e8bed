"""The prompted text tower, without what is computed twice or not read.

The text mask is causal, and the start token and all context tokens are the same for every class, at
every layer, deep prompts included.  So this shared prefix runs once, and of each class only its own
tokens run, one class behind the other without padding.  Nothing runs behind an end token, and of the
last layer only the end tokens' output is computed.  All of this is exact; tests/clip compares it with
the plain computation.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from .attention import output, queries_keys_values

# Context tokens (n_ctx, width) of layers 0, 1, …, depth - 1.  Text tokens of layer 0 may differ from
# image to image: (images, n_ctx, width).
Block = list[Tensor]


def tokenize(tokenizer, sentences: list[str], context_length: int) -> Tensor:
    """Token ids (sentences, context_length); UserError names a sentence that is too long."""
    longer = tokenizer(sentences, context_length=2 * context_length)
    too_long = (longer[:, context_length:] != 0).any(dim=1)
    if too_long.any():
        row = int(too_long.nonzero()[0])
        length = int((longer[row] != 0).sum())
        raise UserError(
            f"The prompt {sentences[row]!r} takes {length} tokens and the text tower holds "
            f"{context_length}: shorten the class name or use fewer context tokens."
        )
    return longer[:, :context_length]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentences:
    """Tokens of N sentences: their common beginning once, then each one's own tokens without padding.

    `prefix` (P,) are the common token ids, `own` (T,) all others, sentence after sentence, at the
    `positions` (T,) of the tower; `ends` (N,) counts the end-of-text tokens in `own`.
    `padded` (N, S) and `packed` (T,) lead from packed rows to rows padded to the longest sentence and
    back; padding repeats the end token.  `behind_end` (N, 1, S) marks the padding.
    """

    prefix: Tensor
    own: Tensor
    positions: Tensor
    ends: Tensor
    padded: Tensor
    packed: Tensor
    behind_end: Tensor

    @classmethod
    def from_tokens(cls, clip: nn.Module, tokens: Tensor) -> "Sentences":
        """Pack token ids (N, n) for the text tower of `clip`."""
        end = _end_positions(clip, tokens)
        shared = _shared_length(tokens, int(end.min()))
        lengths = end + 1 - shared
        longest = int(lengths.max())
        starts = lengths.cumsum(0) - lengths
        columns = torch.arange(longest, device=tokens.device)
        inside = columns < lengths[:, None]
        own = tokens[:, shared : shared + longest]
        return cls(
            prefix=tokens[0, :shared],
            own=own[inside],
            positions=(shared + columns).expand(len(tokens), -1)[inside],
            ends=starts + lengths - 1,
            padded=starts[:, None] + torch.minimum(columns, lengths[:, None] - 1),
            packed=inside.flatten().nonzero()[:, 0],
            behind_end=~inside[:, None],
        )


def _end_positions(clip: nn.Module, tokens: Tensor) -> Tensor:
    """Position (N,) of each row's end-of-text token."""
    if clip.text_pool_type == "eos":
        return (tokens == clip.text_eos_id).int().argmax(dim=1)
    return tokens.argmax(dim=1)


def _shared_length(tokens: Tensor, longest: int) -> int:
    """Number of leading positions, at most `longest`, that are equal in all rows."""
    different = (tokens[:, :longest] != tokens[:1, :longest]).any(dim=0)
    return int(different.int().argmax()) if different.any() else longest


def encode_text(clip: nn.Module, sentences: Sentences, blocks: list[Block]) -> Tensor:
    """Text features (N, D), not normalised, of N sentences.

    The first block of context tokens replaces the embeddings at positions 1, 2, …, the next block
    those behind, and so on; all sentences must have placeholders there.  If a block's tokens differ
    from image to image, so do the features: (images, N, D).
    """
    shared = len(sentences.prefix)
    prefix = _insert(clip.token_embedding(sentences.prefix)[None], blocks, layer=0)
    prefix = prefix + clip.positional_embedding[:shared]
    own = clip.token_embedding(sentences.own) + clip.positional_embedding[sentences.positions]
    x = torch.cat([prefix, own.to(prefix.dtype).expand(len(prefix), -1, -1)], dim=1)

    *layers, last = clip.transformer.resblocks
    for layer, resblock in enumerate(layers):
        if layer > 0:
            x = _insert(x, blocks, layer)
        x = output(resblock, x, _attend(sentences, *queries_keys_values(resblock, x)))
    if layers:
        x = _insert(x, blocks, len(layers))
    ends = x[:, shared:].index_select(1, sentences.ends)
    query, key, value = queries_keys_values(last, x, ends)
    seen = _attend_to_prefix_and_own(sentences, query[:, :, :, None], key, value, sentences.behind_end)
    ends = output(last, ends, seen.squeeze(3))

    ends = clip.ln_final(ends)
    projection = clip.text_projection
    features = projection(ends) if isinstance(projection, nn.Linear) else ends @ projection
    differ = any(tokens.dim() == 3 for block in blocks for tokens in block)
    return features if differ else features[0]


def _insert(x: Tensor, blocks: list[Block], layer: int) -> Tensor:
    """Replace the context positions of x (B, P + T, width) by the tokens that blocks have here."""
    if not any(layer < len(block) for block in blocks):
        return x
    pieces, position = [x[:, :1]], 1
    for block in blocks:
        after = position + block[0].shape[-2]
        here = block[layer] if layer < len(block) else x[:, position:after]
        pieces.append(here.to(x.dtype))
        position = after
    pieces.append(x[:, position:])
    images = max(len(piece) for piece in pieces if piece.dim() == 3)
    return torch.cat([piece.expand(images, -1, -1) for piece in pieces], dim=1)


def _attend(sentences: Sentences, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention (B, heads, P + T, dim): the prefix to itself, each sentence to prefix and itself."""
    shared, longest = len(sentences.prefix), sentences.padded.shape[1]
    prefix = F.scaled_dot_product_attention(
        query[:, :, :shared], key[:, :, :shared], value[:, :, :shared], is_causal=True
    )
    later = torch.ones(longest, longest, dtype=torch.bool, device=query.device).triu(1)
    own_query = _padded(query[:, :, shared:], sentences)
    own = _attend_to_prefix_and_own(sentences, own_query, key, value, later)
    return torch.cat([prefix, own.flatten(2, 3).index_select(2, sentences.packed)], dim=2)


def _attend_to_prefix_and_own(
    sentences: Sentences, query: Tensor, key: Tensor, value: Tensor, hidden: Tensor
) -> Tensor:
    """Attention (B, heads, N, M, dim) of queries (B, heads, N, M, dim), without repeating the prefix.

    Keys and values are (B, heads, P + T, dim); `hidden`, broadcast to (N, M, S), masks own tokens.
    """
    shared = len(sentences.prefix)
    query = query * query.shape[-1] ** -0.5
    own_key, own_value = (_padded(t[:, :, shared:], sentences) for t in (key, value))
    to_prefix = query.flatten(2, 3) @ key[:, :, :shared].transpose(-1, -2)
    to_own = (query @ own_key.transpose(-1, -2)).masked_fill(hidden, -torch.inf)
    weights = torch.cat([to_prefix.unflatten(2, query.shape[2:4]), to_own], dim=-1).softmax(dim=-1)
    from_prefix = weights[..., :shared].flatten(2, 3) @ value[:, :, :shared]
    return from_prefix.unflatten(2, query.shape[2:4]) + weights[..., shared:] @ own_value


def _padded(rows: Tensor, sentences: Sentences) -> Tensor:
    """Packed rows (B, heads, T, dim) as (B, heads, N, S, dim)."""
    count, longest = sentences.padded.shape
    return rows.index_select(2, sentences.padded.flatten()).unflatten(2, (count, longest))
