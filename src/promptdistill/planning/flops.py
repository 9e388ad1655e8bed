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

A ResNet takes no prompts, so it has no backward pass at all; its convolutions count as linear.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..clip.architecture import Architecture, ResNet, Tower
from ..config.entries import MethodEntry
from ..experiment import Experiment
from ..hyperparameters import Tokens
from ..protocols import PROTOCOLS
from ..run import is_cascaded

_CHANNELS = 3

# A class's own tokens: its name, the full stop and the end.  Names have 2.2 on average in ImageNet, 1.5 to
# 2.5 in the other published data sets, but for Stanford Cars (8.5).
OWN_TOKENS = 4


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

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(*map(operator.add, self, other))


class ImageTokens(NamedTuple):
    """A prompt's tokens in an image tower: so many in each of its first `depth` layers."""

    count: int
    depth: int


def image_flops(model: Architecture, prompts: Sequence[ImageTokens] = ()) -> Flops:
    """One image through the image tower of `model`, with the tokens of some prompts where it is a ViT.

    A layer's output at tokens that the next layer replaces, and of the last layer at all but the class
    token, are not computed.
    """
    if model.resnet is not None:
        return _resnet_flops(model.resnet, model)
    tower = model.image
    assert tower is not None, "another tower is refused before"
    own = 1 + tower.patches
    rows = own + sum(tokens.count for tokens in prompts)
    whole = Flops(embedding=2 * _CHANNELS * tower.patch_pixels * tower.width * tower.patches)
    for layer in range(1, tower.layers):
        asking = own + sum(tokens.count for tokens in prompts if tokens.depth <= layer)
        whole += _layer(tower, rows, asking, asking * rows)
    return whole + _layer(tower, rows, 1, rows) + _projection(tower, model.dim, 1)


def _resnet_flops(tower: ResNet, model: Architecture) -> Flops:
    """One image through a ResNet: the first block of a stage halves the picture behind its inner products."""
    pixels, half = model.size[0] * model.size[1] // 4, tower.width // 2
    products = 9 * pixels * (_CHANNELS * half + half * half + half * tower.width)  # the stem
    pixels, channels = pixels // 4, tower.width
    for stage, blocks in enumerate(tower.blocks):
        inner = tower.width * 2**stage
        outer = 4 * inner
        before, pixels = pixels, pixels // 4 if stage else pixels
        products += before * inner * (channels + 9 * inner) + pixels * outer * (inner + channels)
        products += (blocks - 1) * pixels * inner * (outer + 9 * inner + outer)
        channels = outer
    tokens = pixels + 1  # and their mean, whose output alone is read, though all are computed
    products += tokens * channels * (3 * channels + model.dim)
    return Flops(linear=2 * products, attention=4 * channels * tokens**2)


def text_flops(model: Architecture, classes: int, prefix: int, own: float) -> Flops:
    """The sentences of some classes, with the shared `prefix` of tokens once and `own` tokens a class.

    Of the last layer, only the end tokens' output is computed.
    """
    tower = model.text
    rows = prefix + classes * own
    pairs = prefix**2 + classes * own * (prefix + own)
    inner = _layer(tower, rows, rows, pairs).times(tower.layers - 1)
    last = _layer(tower, rows, classes, classes * (prefix + own))
    return inner + last + _projection(tower, model.dim, classes)


def _layer(tower: Tower, rows: float, asking: float, pairs: float) -> Flops:
    width = tower.width
    linear = 2 * width * (2 * width * rows + 2 * width * asking + 2 * tower.hidden * asking)
    return Flops(linear=linear, attention=4 * width * pairs)


def _projection(tower: Tower, dim: int, rows: float) -> Flops:
    return Flops(linear=2 * tower.width * dim * rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeCost:
    """The tokens of a cascade of prompts in both towers.

    `prefix` counts the text tokens before a class's own, the start token included; 0: no text is encoded.
    `texts` are those of each class.  `image` holds the prompts of the image tower, None where its features
    are looked up; `learns_on_images`: one of them is learned.  `conditional`: every image has text features
    of its own.  `compares`: every step also encodes its images without tokens.
    """

    prefix: int
    texts: int
    image: tuple[ImageTokens, ...] | None
    learns_on_images: bool
    conditional: bool
    compares: bool

    @classmethod
    def of(cls, entry: MethodEntry, values: dict[str, Any]) -> "ComputeCost":
        """A method alone."""
        text, vision, depth = Tokens.of(entry, values)
        words = len((values.get("ctx_init") or "").split())
        return cls(
            prefix=1 + max(text, words) if text else 0,
            texts=entry.costs.texts,
            image=None if entry.looks_up == "cascade" else (ImageTokens(vision, depth),) if vision else (),
            learns_on_images=vision > 0,
            conditional=entry.costs.conditional,
            compares=entry.costs.compares,
        )

    def behind(self, frozen: "ComputeCost") -> "ComputeCost":
        """This prompt in a cascade behind a frozen one."""
        prefix = self.prefix and self.prefix + frozen.prefix - 1
        image = None if self.image is None else (*(frozen.image or ()), *self.image)
        return replace(self, prefix=prefix, image=image)

    @property
    def learns(self) -> bool:
        """Whether any of its tokens is known to be learned."""
        return self.prefix > 0 or self.learns_on_images

    def step(self, student: Architecture, classes: int, batch: int) -> float:
        """Operations of one training step of `batch` images or regions: forward and backward."""
        image = self._image(student).times(batch)
        plain = image_flops(student).times(batch).forward if self.compares else 0.0
        seen = image.step if self.learns_on_images else image.forward
        return seen + plain + self._text(student, classes, batch).step

    def image_test(self, student: Architecture, classes: int) -> float:
        """Operations of testing one image against so many classes, where its features are not looked up.

        Text features that all images share are left out: they are computed once.
        """
        image = self._image(student).forward
        return image + (self._text(student, classes, 1).forward if self.conditional else 0.0)

    def _image(self, student: Architecture) -> Flops:
        return Flops() if self.image is None else image_flops(student, self.image)

    def _text(self, student: Architecture, classes: int, batch: int) -> Flops:
        if not self.prefix:
            return Flops()
        sentences = text_flops(student, classes, self.prefix, OWN_TOKENS)
        return sentences.times(self.texts * (batch if self.conditional else 1))


def compute_cost(experiment: Experiment, method: str, dataset: str, protocol: str) -> ComputeCost:
    """What the towers carry where a method is trained: its tokens, and those that it is cascaded on."""
    values = experiment.hyperparameters(method, dataset, protocol)
    own = ComputeCost.of(experiment.method(method), values)
    if (plugin := experiment.plugin(method)) and plugin.second_text and values[plugin.second_text]:
        own = replace(own, texts=own.texts + 1)
    if not is_cascaded(method):
        return own
    return own.behind(compute_cost(experiment, "boosting", dataset, PROTOCOLS[protocol].boosting))
