"""CoOp: a shared text context at the input layer (arXiv 2109.01134)."""

from pydantic import Field

from ..clip.prompts import Prompt, random_prompt
from .base import Method, MethodConfig


class CoOpConfig(MethodConfig):
    """Hyper-parameters of CoOp."""

    n_ctx: int = Field(ge=1, description="text context tokens")
    ctx_init: str | None = Field(None, description="initial words of the context; none: random")


class CoOp(Method):
    """Learns `n_ctx` text tokens; cross-entropy."""

    Config = CoOpConfig

    def build_prompt(self) -> Prompt:
        """Text tokens at layer 0 only."""
        config, backbone, generator = self.context.config, self.context.backbone, self.context.generator
        return random_prompt(backbone, generator, n_ctx_text=config.n_ctx, ctx_init=config.ctx_init)
