"""Floating-point operations of the towers, as `clip/text.py` and `clip/vision.py` compute them.

A multiplication and an addition count as two.  Counted are matrix products and the patch embedding;
element-wise work, normalisation, logits and small nets beside the towers are left out.

A layer of width w and MLP of h units, that makes keys and values of `rows` tokens and outputs of `asking` of
them, of which each asking token sees some of the rows (`pairs` in all), takes forward

    linear     2 w (2 w · rows + 2 w · asking + 2 h · asking)   keys and values; queries and output; MLP
    attention  4 w · pairs                                       scores; weighted sum

Backward, through frozen weights, a linear product needs one more product (for the activations), and each of
the two products of attention two more: a training step is 2 · linear + 3 · attention.  The patch embedding
has no backward pass, since nothing that learns stands before it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from .architecture import Architecture, Tower

_CHANNELS = 3


class Flops(NamedTuple):
    """Operations of a forward pass, by what the backward pass makes of them."""

    linear: float = 0.0
    attention: float = 0.0
    embedding: float = 0.0

    @property
    def forward(self) -> float:
        """Of a forward pass alone."""
        return self.linear + self.attention + self.embedding

    @property
    def step(self) -> float:
        """Of a forward and a backward pass, with gradients of activations and prompts only."""
        return 2 * self.linear + 3 * self.attention + self.embedding

    def times(self, count: float) -> "Flops":
        """So many of the same."""
        return Flops(*(part * count for part in self))


class ImageTokens(NamedTuple):
    """A prompt's tokens in an image tower: so many in each of its first `depth` layers."""

    count: int
    depth: int


def image_flops(model: Architecture, prompts: Sequence[ImageTokens] = ()) -> Flops:
    """One image through the ViT of `model`, with the tokens of some prompts.

    A layer's output at tokens that the next layer replaces, and of the last layer at all but the class
    token, are not computed.
    """
    tower = model.image
    assert tower is not None, "a tower that is no ViT is refused before"
    own = 1 + tower.patches
    rows = own + sum(tokens.count for tokens in prompts)
    parts = [Flops(embedding=2 * _CHANNELS * tower.patch_pixels * tower.width * tower.patches)]
    for layer in range(1, tower.layers):
        asking = own + sum(tokens.count for tokens in prompts if tokens.depth <= layer)
        parts.append(_layer(tower, rows, asking, asking * rows))
    return _sum(*parts, _layer(tower, rows, 1, rows), _projection(tower, model.dim, 1))


def text_flops(model: Architecture, classes: int, prefix: int, own: float) -> Flops:
    """The sentences of some classes, with the shared `prefix` of tokens once and `own` tokens a class.

    Of the last layer, only the end tokens' output is computed.
    """
    tower = model.text
    rows = prefix + classes * own
    pairs = prefix**2 + classes * own * (prefix + own)
    inner = _layer(tower, rows, rows, pairs).times(tower.layers - 1)
    last = _layer(tower, rows, classes, classes * (prefix + own))
    return _sum(inner, last, _projection(tower, model.dim, classes))


def _layer(tower: Tower, rows: float, asking: float, pairs: float) -> Flops:
    width = tower.width
    linear = 2 * width * (2 * width * rows + 2 * width * asking + 2 * tower.hidden * asking)
    return Flops(linear=linear, attention=4 * width * pairs)


def _projection(tower: Tower, dim: int, rows: float) -> Flops:
    return Flops(linear=2 * tower.width * dim * rows)


def _sum(*parts: Flops) -> Flops:
    return Flops(*(sum(column) for column in zip(*parts, strict=True)))
