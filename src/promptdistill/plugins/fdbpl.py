"""FDBPL: KDPL weighted by the teacher's confidence, and a negative text (arXiv 2505.18053).

The arithmetic is that of the authors' published code; what is marked (ours) is not (docs/fdbpl.md).
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from ..clip.prompted import PromptedClip
from ..clip.prompts import phrase_length, random_prompt
from ..methods.base import MethodContext, Target
from .kdpl import KDPL, KDPLConfig, both_ways

_EPS = 1e-6  # inside the logarithm of the confidence
_MARGIN = 0.2  # of the hinge


class FDBPLConfig(KDPLConfig):
    """Hyper-parameters of FDBPL, beside the method's."""

    confidence: Literal["region", "batch", "off"] = Field(
        description="what weighs the distance to the teacher: its confidence in a region, the batch's mean, "
        "nothing; the negative text's terms always go by region"
    )
    negative: bool = Field(description="whether a negative text is learned beside the method's")
    negative_ctx_init: str = Field(
        min_length=1, description="initial words of the negative text, all of which learn"
    )
    cosine_weight: float = Field(ge=0, description="of the similarity of positive and negative logits")
    hinge_weight: float = Field(
        ge=0, description="of the order of two regions by the difference of two classes' texts (ours)"
    )

    @model_validator(mode="after")
    def _hinge_of_two_texts(self) -> "FDBPLConfig":
        if self.hinge_weight and not self.negative:
            raise ValueError("hinge_weight needs a negative text: set negative, too")
        return self


class FDBPL(KDPL):
    """The teacher's answers count as far as it is sure; where it is not, a negative text is made uniform.

    The negative text is dropped after training: it acts through the similarity of the logits alone.  The
    published second-order term is zero whatever the texts are, and is left out.
    """

    Config = FDBPLConfig

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.negative = None
        if context.config.negative:
            phrase, backbone = context.config.negative_ctx_init, context.backbone
            count = phrase_length(backbone, phrase)
            self.negative = random_prompt(backbone, context.generator, n_ctx_text=count, ctx_init=phrase)
            self._clip = PromptedClip(backbone, [*context.frozen, self.negative])

    def forward(self, logits: Tensor, image: Tensor, target: Target) -> Tensor:
        """Scalar loss of the positive logits (B, classes) of normalised image features (B, D)."""
        config, teacher = self.context.config, target.answers
        sure = confidence(teacher)
        each = both_ways(logits, teacher)
        weight = {"region": sure, "batch": sure.mean(), "off": torch.ones_like(sure)}[config.confidence]
        loss = (weight * each).mean()
        if self.negative is not None:
            text = self._clip.text_features(target.names(self.context.class_names))
            negative = self.context.backbone.logit_scale * image @ text.T
            log_n = negative.log_softmax(dim=1)
            loss = loss + ((1 - sure) * (log_n.exp() * log_n).sum(dim=1)).mean()
            loss = loss + config.cosine_weight * (sure * F.cosine_similarity(logits, negative)).mean()
            if config.hinge_weight:
                difference = (logits - negative) / self.context.backbone.logit_scale
                loss = loss + config.hinge_weight * hinge(difference, teacher.argmax(dim=1), sure)
        return loss


def confidence(teacher: Tensor) -> Tensor:
    """How sure the teacher is (B,), by its logits (B, classes): 1 less its entropy, as a share of log C."""
    classes = teacher.shape[1]
    if classes == 1:
        return torch.ones_like(teacher[:, 0])
    p = teacher.softmax(dim=1)
    return 1 + (p * (p + _EPS).log()).sum(dim=1) / math.log(classes)


def hinge(difference: Tensor, top: Tensor, sure: Tensor) -> Tensor:
    """Sum over pairs of regions i, j whose top classes (B,) are a < b, of w_i w_j max(0, d_j - d_i + 0.2).

    d is what a region makes of the `difference` (B, classes) of both texts, of class a less class b; w (B,)
    is how sure the teacher is.
    """
    seen = difference[:, top]  # (B, B): of a region, for the top class of another
    own = seen.diagonal()
    of_first, of_second = own[:, None] - seen, seen.T - own[None]
    weight = sure[:, None] * sure[None] * (top[:, None] < top[None])
    return (weight * (of_second - of_first + _MARGIN).relu()).sum()
