"""VPT: deep vision tokens, the text as it is (arXiv 2203.12119, as used with CLIP by arXiv 2407.03056)."""

from functools import cached_property

import torch
from pydantic import Field
from torch import Tensor

from ..clip.prompts import Prompt, random_prompt
from ..clip.templates import template_features
from .base import Method, MethodConfig

TEMPLATE = "a photo of a {}."  # of every data set


class VPTConfig(MethodConfig):
    """Hyper-parameters of VPT."""

    n_ctx_vision: int = Field(ge=1, description="vision tokens a layer")
    prompt_depth: int = Field(ge=1, description="layers with tokens of their own")


class VPT(Method):
    """Learns vision tokens of several layers."""

    Config = VPTConfig

    def build_prompt(self) -> Prompt:
        """Random vision tokens."""
        config = self.context.config
        return random_prompt(
            self.context.backbone,
            self.context.generator,
            n_ctx_vision=config.n_ctx_vision,
            prompt_depth=config.prompt_depth,
        )

    @cached_property
    def training_text(self) -> Tensor:
        """Normalised text features (classes, D) of the training classes, which nothing changes."""
        return self._text(self.context.class_names)

    def class_features(self, class_names: list[str]) -> Tensor:
        """Normalised text features (classes, D): of a fixed template, or of frozen prompts' tokens."""
        return self.training_text if class_names == self.context.class_names else self._text(class_names)

    @torch.no_grad()
    def _text(self, class_names: list[str]) -> Tensor:
        if any(prompt.text_block() for prompt in self.context.frozen):
            return self.clip.text_features(class_names)
        return template_features(self.plain_clip, TEMPLATE, class_names)
