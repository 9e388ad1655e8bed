"""KgCoOp: CoOp, held near the features of a hand-written template (arXiv 2303.13283)."""

from functools import cached_property

import torch
from pydantic import Field
from torch import Tensor

from ..clip.templates import template_features
from .base import Batch
from .coop import CoOp, CoOpConfig


class KgCoOpConfig(CoOpConfig):
    """Hyper-parameters of KgCoOp."""

    weight: float = Field(
        8.0, ge=0, description="of the squared distance between learned and template features"
    )


class KgCoOp(CoOp):
    """Learns text tokens; cross-entropy plus the distance from the data set's template."""

    Config = KgCoOpConfig

    @cached_property
    @torch.no_grad()
    def template_text(self) -> Tensor:
        """Normalised features (classes, D) of the data set's template."""
        return template_features(self.plain_clip, self.context.template, self.context.class_names)

    def loss(self, batch: Batch) -> Tensor:
        """The objective's, and the squared distance, mean over the classes."""
        target, image = self.objective.target(batch), self.image_features(batch)
        text = self.class_features(target.names(self.context.class_names))
        logits = self.context.backbone.logit_scale * image @ text.T
        distance = (text - target.rows(self.template_text)).square().sum(dim=1).mean()
        return self.objective(logits, image, target) + self.context.config.weight * distance
