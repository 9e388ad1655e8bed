"""CoOp: a shared text context at the input layer (arXiv 2109.01134)."""

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..clip.prompts import Prompt, random_prompt
from .base import Batch, Method, MethodConfig


class CoOpConfig(MethodConfig):
    """Hyper-parameters of CoOp."""

    context: int = Field(ge=1, description="text context tokens")
    phrase: str | None = Field(None, description="initial words of the context; none: random")


class CoOp(Method):
    """Learns `context` text tokens; cross-entropy."""

    Config = CoOpConfig

    def build_prompt(self) -> Prompt:
        """Text tokens at layer 0 only."""
        config = self.task.config
        return random_prompt(
            self.task.backbone,
            self.task.generator,
            text_context=config.context,
            vision_context=0,
            depth=1,
            phrase=config.phrase,
        )

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy over the training classes."""
        return F.cross_entropy(self.logits(batch), batch.labels)
