"""Prompts: the tokens that a method puts into the two towers of a frozen CLIP."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import UserError
from .backbone import Backbone
from .text import Block

_STD = 0.02  # of random initial tokens (CoOp, arXiv 2109.01134)


class Prompt(nn.Module):
    """Learned tokens per layer: none, but for what subclasses say, and may make from something smaller."""

    fixed_words: str = ""  # words between all context tokens and the class name, as they are

    def text_block(self) -> Block:
        """Text tokens (n_ctx, d_t) of layers 0 … depth - 1; an empty list for none."""
        return []

    def vision_block(self) -> Block:
        """Vision tokens (n_ctx, d_v) of layers 0 … depth - 1; an empty list for none."""
        return []


class DeepPrompt(Prompt):
    """Independent tokens for every layer of both towers."""

    def __init__(self, text: Block, vision: Block) -> None:
        super().__init__()
        self.text = nn.ParameterList([nn.Parameter(tokens) for tokens in text])
        self.vision = nn.ParameterList([nn.Parameter(tokens) for tokens in vision])

    def text_block(self) -> Block:
        """The text tokens as they are."""
        return list(self.text)

    def vision_block(self) -> Block:
        """The vision tokens as they are."""
        return list(self.vision)


def random_prompt(
    backbone: Backbone,
    generator: torch.Generator,
    *,
    n_ctx_text: int = 0,
    n_ctx_vision: int = 0,
    prompt_depth: int = 1,
    ctx_init: str | None = None,
) -> DeepPrompt:
    """Initial tokens: N(0, 0.02²), or on text layer 0 the embeddings of the words `ctx_init`.

    `n_ctx_text` and `n_ctx_vision` are tokens a layer (0: none), `prompt_depth` counts layers.
    Raises UserError if the model has fewer layers, or the phrase another number of tokens.
    """

    def block(tower: str, n_ctx: int) -> Block:
        if not n_ctx:
            return []
        layers, shape = getattr(backbone, f"{tower}_layers"), (n_ctx, getattr(backbone, f"{tower}_width"))
        if prompt_depth > layers:
            name = "image" if tower == "vision" else tower
            raise UserError(
                f"A prompt of depth {prompt_depth} does not fit: the {name} tower has {layers} layers; "
                "set `prompt_depth` lower."
            )
        return [torch.randn(shape, generator=generator) * _STD for _ in range(prompt_depth)]

    text, vision = block("text", n_ctx_text), block("vision", n_ctx_vision)
    if ctx_init is not None and n_ctx_text:
        text[0] = phrase_embedding(backbone, ctx_init, n_ctx_text)
    return DeepPrompt(text, vision).to(backbone.device)


def phrase_length(backbone: Backbone, phrase: str) -> int:
    """The tokens of a phrase, without those of start and end."""
    return int((backbone.tokenizer([phrase])[0] != 0).sum()) - 2


def phrase_embedding(backbone: Backbone, phrase: str, count: int) -> Tensor:
    """Token embeddings (count, d_t) of a phrase of exactly `count` tokens."""
    tokens, length = backbone.tokenizer([phrase])[0], phrase_length(backbone, phrase)
    if length != count:
        raise UserError(
            f"The initial phrase {phrase!r} has {length} tokens, but the context has {count}: "
            "make them agree, or leave the phrase out."
        )
    return backbone.model.token_embedding.weight[tokens[1 : 1 + count].to(backbone.device)].clone().cpu()


@contextmanager
def drawn_from(generator: torch.Generator) -> Iterator[None]:
    """A context in which torch's own random initial weights are drawn from `generator`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        yield
