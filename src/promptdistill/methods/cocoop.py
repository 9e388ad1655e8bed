"""CoCoOp: a text context that a small net shifts for each image (arXiv 2203.05557)."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..clip.backbone import Backbone
from ..clip.prompts import DeepPrompt, drawn_from
from ..clip.text import Block
from .coop import CoOp

_REDUCTION = 16  # of the net's hidden layer (CoCoOp, implementation details)
_SENTENCES = 4096  # encoded at a time when many images are tested


class ConditionalPrompt(DeepPrompt):
    """Text tokens at layer 0, and the net `meta` from an image feature (D,) to their shift (d_t,)."""

    def __init__(self, text: Block, meta: nn.Module) -> None:
        super().__init__(text, [])
        self.meta = meta

    def text_block_for(self, image: Tensor) -> Block:
        """Text tokens (B, n_ctx, d_t) for normalised image features (B, D)."""
        return [self.text[0] + self.meta(image)[:, None]]


def _meta_net(backbone: Backbone, generator: torch.Generator) -> nn.Module:
    """Two linear layers with torch's default initial weights, drawn from `generator`."""
    dim, hidden = backbone.feature_dim, backbone.feature_dim // _REDUCTION
    with drawn_from(generator):
        linear1, linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, backbone.text_width)
    return nn.Sequential(OrderedDict(linear1=linear1, relu=nn.ReLU(), linear2=linear2))


class CoCoOp(CoOp):
    """Learns `n_ctx` text tokens and the net; cross-entropy."""

    def build_prompt(self) -> ConditionalPrompt:
        """Text tokens at layer 0, and the net."""
        backbone, tokens = self.context.backbone, super().build_prompt().text_block()
        return ConditionalPrompt(tokens, _meta_net(backbone, self.context.generator)).to(backbone.device)

    def classifier(self, class_names: list[str]) -> Callable[[Tensor], Tensor]:
        """A function from normalised image features (B, D) to logits (B, classes).

        Every image has text features of its own.
        """
        scale = self.context.backbone.logit_scale

        def logits(image: Tensor) -> Tensor:
            text = self.clip.text_features(class_names, self.prompt.text_block_for(image))
            return scale * (text @ image[:, :, None]).squeeze(2)

        some = max(1, _SENTENCES // len(class_names))
        return lambda image: torch.cat([logits(part) for part in image.split(some)])
