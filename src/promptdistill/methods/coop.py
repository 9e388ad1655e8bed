"""CoOp: a shared text context at the input layer (arXiv 2109.01134)."""

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..clip.prompts import Prompt, random_prompt
from .base import Batch, Method, MethodConfig


class CoOpConfig(MethodConfig):
    """Hyper-parameters of CoOp."""

    n_ctx: int = Field(ge=1, description="text context tokens")
    ctx_init: str | None = Field(None, description="initial words of the context; none: random")


class CoOp(Method):
    """Learns `n_ctx` text tokens; cross-entropy."""

    Config = CoOpConfig

    def build_prompt(self) -> Prompt:
        """Text tokens at layer 0 only."""
        config = self.context.config
        return random_prompt(
            self.context.backbone,
            self.context.generator,
            n_ctx_text=config.n_ctx,
            n_ctx_vision=0,
            prompt_depth=1,
            ctx_init=config.ctx_init,
        )

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy over the training classes."""
        return F.cross_entropy(self.logits(batch), batch.labels)
