"""PromptSRC: deep prompts, held near the frozen model (arXiv 2307.06948)."""

import math
from functools import cached_property

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..clip.templates import fill, openai_templates
from ..errors import UserError
from .base import Batch, DeepPromptConfig, DeepPromptMethod, MethodContext

_TEMPLATES = 60  # the first of OpenAI's 80, as published


class PromptSRCConfig(DeepPromptConfig):
    """Hyper-parameters of PromptSRC."""

    text_weight: float = Field(25.0, ge=0, description="weight of |prompted - frozen| text features")
    image_weight: float = Field(10.0, ge=0, description="weight of |prompted - frozen| image features")
    gpa_mean: float = Field(description="epoch of the greatest weight in the average over epochs")
    gpa_std: float = Field(gt=0, description="width in epochs of that weight")


class PromptSRC(DeepPromptMethod):
    """Learns deep tokens in both towers; the result is a Gaussian average over epochs (GPA)."""

    Config = PromptSRCConfig

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        for name, tensor in self.prompt.named_parameters():
            self.register_buffer(_buffer(name), torch.zeros_like(tensor))
        config = context.config
        self._weights = gaussian_weights(config.epochs, config.gpa_mean, config.gpa_std)

    @cached_property
    @torch.no_grad()
    def frozen_text(self) -> Tensor:
        """Frozen class features (classes, D): mean over templates of raw features, normalised."""
        names = self.context.class_names
        raw = [
            self.plain_clip.raw_sentence_features(fill(template, names))
            for template in openai_templates()[:_TEMPLATES]
        ]
        return F.normalize(torch.stack(raw).mean(0), dim=-1)

    def loss(self, batch: Batch) -> Tensor:
        """The objective's, plus the distances from the frozen features and logits."""
        config, scale = self.context.config, self.context.backbone.logit_scale
        target = self.objective.target(batch)
        text = self.clip.text_features(target.names(self.context.class_names))
        frozen_text = target.rows(self.frozen_text)
        image, frozen_image = self.image_features(batch), self.plain_image_features(batch)
        frozen_logits = scale * frozen_image @ frozen_text.T
        logits = scale * image @ text.T
        log_q, log_p = logits.log_softmax(dim=1), frozen_logits.log_softmax(dim=1)
        divergence = F.kl_div(log_q, log_p, reduction="sum", log_target=True)
        return (
            self.objective(logits, image, target)
            + config.text_weight * F.l1_loss(text, frozen_text)
            + config.image_weight * F.l1_loss(image, frozen_image)
            + divergence / logits.numel()
        )

    def finish_epoch(self, epoch: int) -> None:
        """Add this epoch's tokens, with their weight, to the average."""
        for name, tensor in self.prompt.named_parameters():
            self.get_buffer(_buffer(name)).add_(tensor.detach(), alpha=self._weights[epoch])

    def final_tensors(self) -> dict[str, Tensor]:
        """The averaged tokens."""
        return {name: self.get_buffer(_buffer(name)) for name, _ in self.prompt.named_parameters()}


def _buffer(name: str) -> str:
    return "average_" + name.replace(".", "_")


def gaussian_weights(epochs: int, mean: float, std: float) -> list[float]:
    """Weights of epochs 1 … `epochs`: a Gaussian over epochs, normalised to sum 1."""
    raw = [math.exp(-0.5 * ((epoch - mean) / std) ** 2) for epoch in range(1, epochs + 1)]
    if sum(raw) == 0:
        raise UserError(f"gpa_mean {mean} lies so far from the {epochs} epochs that none has a weight.")
    return [weight / sum(raw) for weight in raw]
