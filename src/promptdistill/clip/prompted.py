"""PromptedClip: an unmodified open_clip model and a cascade of prompts."""

import torch.nn.functional as F
from torch import Tensor

from .backbone import Backbone
from .prompts import Prompt
from .text import Block, Sentences, encode_text, tokenize
from .vision import encode_image

_REMEMBERED = 16  # sets of sentences


def readable(class_name: str) -> str:
    """A class name as prompts spell it: underscores become spaces."""
    return class_name.replace("_", " ")


class PromptedClip:
    """A frozen CLIP whose towers see the tokens of several prompts.

    `cascade` lists the prompts in the order in which they were learned: boosting before adapting.
    In the text, the last one stands first; behind the patches, the first one does (CasPL, sec. 3).
    """

    def __init__(self, backbone: Backbone, cascade: list[Prompt]) -> None:
        self.backbone = backbone
        self.cascade = cascade
        self._sentences: dict[tuple[str, ...], Sentences] = {}  # the last few sets of them

    def text_features(self, class_names: list[str], learning_block: Block | None = None) -> Tensor:
        """Normalised features (classes, D) of "<context> classname." for each class name.

        `learning_block` stands in for the text tokens of the cascade's last prompt.  If they differ
        from image to image, so do the features: (images, classes, D).
        """
        learned = [prompt.text_block() for prompt in self.cascade]
        if learning_block is not None:
            learned[-1] = learning_block
        blocks = [block for block in reversed(learned) if block]
        context = sum(block[0].shape[-2] for block in blocks)
        words = ["X"] * context + [prompt.fixed_words for prompt in self.cascade if prompt.fixed_words]
        sentences = [" ".join([*words, readable(name) + "."]) for name in class_names]
        return F.normalize(self._encode(sentences, blocks), dim=-1)

    def sentence_features(self, sentences: list[str]) -> Tensor:
        """Normalised features (sentences, D) of plain sentences, without any prompt."""
        return F.normalize(self.raw_sentence_features(sentences), dim=-1)

    def raw_sentence_features(self, sentences: list[str]) -> Tensor:
        """Features (sentences, D) of plain sentences as the tower gives them, not normalised."""
        return self._encode(sentences, [])

    def _encode(self, sentences: list[str], blocks: list[Block]) -> Tensor:
        clip, key = self.backbone.model, tuple(sentences)
        if key not in self._sentences:  # most trainings ask for the same sentences at every step
            if len(self._sentences) == _REMEMBERED:
                del self._sentences[next(iter(self._sentences))]
            tokens = tokenize(self.backbone.tokenizer, sentences, clip.context_length)
            self._sentences[key] = Sentences.from_tokens(clip, tokens.to(self.backbone.device))
        with self.backbone.autocast():
            return encode_text(clip, self._sentences[key], blocks).float()

    def image_features(self, pixels: Tensor) -> Tensor:
        """Normalised features (B, D) of pixels (B, 3, H, W)."""
        return F.normalize(self.raw_image_features(pixels), dim=-1)

    def raw_image_features(self, pixels: Tensor) -> Tensor:
        """Features (B, D) of pixels (B, 3, H, W) as the tower gives them, not normalised."""
        blocks = [block for prompt in self.cascade if (block := prompt.vision_block())]
        with self.backbone.autocast():
            return encode_image(self.backbone.model, pixels, blocks).float()
