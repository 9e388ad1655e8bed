"""LASP in its basic form: CoOp whose text features name their class among templates (arXiv 2210.01115)."""

from functools import cached_property

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..clip.templates import openai_templates, template_features
from .base import Batch
from .coop import CoOp, CoOpConfig


class LASPConfig(CoOpConfig):
    """Hyper-parameters of LASP."""

    templates: int = Field(ge=1, le=80, description="hand-written templates: the first of OpenAI's 80")
    weight: float = Field(ge=0, description="of the text-to-text cross-entropy")


class LASP(CoOp):
    """Learns text tokens; cross-entropy of images, and of the learned text against hand-written text."""

    Config = LASPConfig

    @cached_property
    @torch.no_grad()
    def template_text(self) -> Tensor:
        """Normalised features (templates, classes, D)."""
        names = self.context.class_names
        chosen = openai_templates()[: self.context.config.templates]
        return torch.stack([template_features(self.plain_clip, template, names) for template in chosen])

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of images, plus that of each learned class feature among each template's."""
        scale, text = self.context.backbone.logit_scale, self.class_features(self.context.class_names)
        images = F.cross_entropy(scale * self.image_features(batch) @ text.T, batch.labels)
        among_templates = scale * text @ self.template_text.transpose(1, 2)  # (templates, classes, classes)
        right = torch.arange(len(text), device=text.device).expand(len(among_templates), -1)
        texts = F.cross_entropy(among_templates.flatten(0, 1), right.flatten())
        return images + self.context.config.weight * texts
