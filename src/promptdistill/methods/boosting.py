"""CasPL's first phase: boosting prompts from a teacher on unlabelled images (arXiv 2409.17805)."""

import torch
from pydantic import Field
from torch import Tensor

from .base import Batch, DeepPromptConfig, DeepPromptMethod, distillation_loss


class BoostingConfig(DeepPromptConfig):
    """Hyper-parameters of the boosting phase."""

    temperature: float = Field(1.0, gt=0)
    top_k: int | None = Field(None, ge=1, description="teacher's logits that are kept; none: all")


class Boosting(DeepPromptMethod):
    """Learns deep tokens in both towers from the teacher's looked-up answers; no labels."""

    Config = BoostingConfig

    def loss(self, batch: Batch) -> Tensor:
        """KL(teacher || student) over all classes; both logits have the student's scale."""
        with torch.no_grad():
            scale = self.context.backbone.logit_scale
            teacher = self.context.teacher.logits(
                batch.images, batch.regions, scale, top_k=self.context.config.top_k
            )
        return distillation_loss(self.logits(batch), teacher, self.context.config.temperature)
