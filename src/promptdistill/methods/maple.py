"""MaPLe: vision tokens that are a learned linear map of the text tokens (arXiv 2210.03117)."""

from pydantic import Field
from torch import nn

from ..clip.prompts import Prompt, drawn_from, random_prompt
from ..clip.text import Block
from .base import Method, MethodConfig


class MaPLeConfig(MethodConfig):
    """Hyper-parameters of MaPLe."""

    n_ctx: int = Field(ge=1, description="tokens a layer, in both towers")
    prompt_depth: int = Field(ge=1, description="layers with tokens of their own")
    ctx_init: str | None = Field(
        None, description="initial words; the first `n_ctx` learn, the others stay; none: random"
    )


class CoupledPrompt(Prompt):
    """Text tokens of several layers, and for each layer a map to the vision tokens."""

    def __init__(self, text: Block, maps: list[nn.Linear], fixed_words: str) -> None:
        super().__init__()
        self.text = nn.ParameterList([nn.Parameter(tokens) for tokens in text])
        self.map = nn.ModuleList(maps)
        self.fixed_words = fixed_words

    def text_block(self) -> Block:
        """The text tokens as they are."""
        return list(self.text)

    def vision_block(self) -> Block:
        """The text tokens of each layer, mapped."""
        return [couple(tokens) for couple, tokens in zip(self.map, self.text, strict=True)]


class MaPLe(Method):
    """Learns text tokens and their maps; cross-entropy."""

    Config = MaPLeConfig

    def build_prompt(self) -> Prompt:
        """Text tokens, and maps with torch's default initial weights."""
        config, backbone, generator = self.context.config, self.context.backbone, self.context.generator
        words = (config.ctx_init or "").split()
        text = random_prompt(
            backbone,
            generator,
            n_ctx_text=config.n_ctx,
            prompt_depth=config.prompt_depth,
            ctx_init=" ".join(words[: config.n_ctx]) or None,
        ).text_block()
        with drawn_from(generator):
            maps = [nn.Linear(backbone.text_width, backbone.vision_width) for _ in text]
        return CoupledPrompt(text, maps, " ".join(words[config.n_ctx :])).to(backbone.device)
