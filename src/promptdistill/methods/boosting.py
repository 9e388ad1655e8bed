"""CasPL's first phase: boosting prompts from a teacher on unlabelled images (arXiv 2409.17805)."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from .base import Batch, DeepPromptConfig, DeepPromptMethod


class BoostingConfig(DeepPromptConfig):
    """Hyper-parameters of the boosting phase."""

    temperature: float = Field(1.0, gt=0)
    top_k: int | None = Field(None, ge=1, description="teacher's logits that are kept; none: all")


class Boosting(DeepPromptMethod):
    """Learns deep tokens in both towers from the teacher's looked-up answers; no labels."""

    Config = BoostingConfig
    unlabelled = True

    def loss(self, batch: Batch) -> Tensor:
        """KL(teacher || student) over all classes; both logits have the student's scale."""
        with torch.no_grad():
            scale = self.task.backbone.logit_scale
            teacher = self.task.teacher.logits(
                batch.images, batch.regions, scale, top_k=self.task.config.top_k
            )
        return distillation_loss(self.logits(batch), teacher, self.task.config.temperature)


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(softmax(teacher / T) || softmax(student / T)) · T², mean over the batch."""
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return divergence * temperature**2
