"""FDBPL: region-aware positive and negative prompts, learned from looked-up answers (arXiv 2505.18053).

The paper is known to us by its abstract and summaries.  What these leave open is our choice, marked
(ours) here and explained in docs/fdbpl.md; each part of the loss has a weight that switches it off.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ..clip.prompts import DeepPrompt, Prompt, random_prompt
from ..clip.text import Block
from ..features.lookup import smooth_top_k
from .base import Batch, DeepPromptConfig, Method, distillation_loss, mean_of


class FDBPLConfig(DeepPromptConfig):
    """Hyper-parameters of FDBPL."""

    n_ctx_vision: int = Field(ge=0, description="vision tokens a layer; 0: the image tower as it is")
    negative_ctx_init: str | None = Field(
        None, description="initial words of the negative text; none: random"
    )
    regions: int | None = Field(ge=1, description="regions of an image in all; none: one an epoch")
    region_scale: tuple[float, float] | None = Field(
        description="least and greatest area of a region, as a share of the image's; none: the experiment's"
    )
    regions_per_image: int = Field(ge=1, description="regions of an image in a batch")
    region_aware: bool = Field(description="false: every region counts as informative")
    informative_by: Literal["top", "entropy"] = Field(
        description="what of the teacher's answer tells: its top probability, or its entropy"
    )
    threshold: float | None = Field(
        description="least top probability, or greatest entropy in nats, of an informative region; none: "
        "such that a share of the training regions, `uninformative`, is not"
    )
    uninformative: float = Field(
        ge=0, lt=1, description="share of the training regions that are not informative, without a threshold"
    )
    temperature: float = Field(gt=0, description="of both models' probabilities where they are compared")
    top_k: int | None = Field(ge=1, description="teacher's logits that are kept; none: all")
    label_weight: float = Field(
        ge=0, description="of the cross-entropy of what is classified by, on informative regions"
    )
    positive_weight: float = Field(ge=0, description="of the positive texts' loss on informative regions")
    negative_weight: float = Field(ge=0, description="of the rejection of the other regions")
    difference_weight: float = Field(ge=0, description="of the first-order difference's loss")
    intra_weight: float = Field(ge=0, description="of differences between regions of one image")
    inter_weight: float = Field(ge=0, description="of differences between classes")
    inference: Literal["difference", "positive"] = Field(description="what is classified by")

    @model_validator(mode="after")
    def _something_is_learned(self) -> "FDBPLConfig":
        pairs = min(self.regions_per_image, self.regions or self.epochs) > 1
        weights = {name: value for name, value in self if name.endswith("_weight")}
        if not any(value for name, value in weights.items() if pairs or name != "intra_weight"):
            raise ValueError(
                "one of the weights of the loss must be above 0, and intra_weight alone needs two regions of "
                "an image in a batch"
            )
        return self


class DualPrompt(DeepPrompt):
    """Deep tokens of both towers for the positive texts, and deep text tokens for the negative ones."""

    def __init__(self, positive: Block, negative: Block, vision: Block) -> None:
        super().__init__(positive, vision)
        self.negative = nn.ParameterList([nn.Parameter(tokens) for tokens in negative])


class FDBPL(Method):
    """Learns positive and negative text tokens and vision tokens."""

    Config = FDBPLConfig

    @property
    def regions_per_image(self) -> int:
        """Regions of one image in a batch."""
        return self.context.config.regions_per_image

    def build_prompt(self) -> Prompt:
        """Independent tokens, both texts with their initial phrases (ours)."""
        config, backbone, generator = self.context.config, self.context.backbone, self.context.generator
        shape = {"n_ctx_text": config.n_ctx_text, "prompt_depth": config.prompt_depth}
        positive = random_prompt(
            backbone, generator, **shape, n_ctx_vision=config.n_ctx_vision, ctx_init=config.ctx_init
        )
        negative = random_prompt(backbone, generator, **shape, ctx_init=config.negative_ctx_init)
        prompt = DualPrompt(positive.text_block(), negative.text_block(), positive.vision_block())
        return prompt.to(backbone.device)

    @cached_property
    def threshold(self) -> float:
        """What separates informative regions: as configured, or a quantile of the training regions (ours)."""
        config = self.context.config
        if config.threshold is not None:
            return config.threshold
        everything = self.context.teacher.logits(*self.context.teacher.every_region(), self._scale)
        return float(self._confidence(everything).quantile(config.uninformative).abs())

    @property
    def _scale(self) -> Tensor:
        return self.context.backbone.logit_scale

    def _confidence(self, teacher: Tensor) -> Tensor:
        """How informative regions (B,) are by the teacher's logits (B, classes): the greater, the more."""
        log_p = teacher.log_softmax(dim=1)
        if self.context.config.informative_by == "top":
            return log_p.max(dim=1).values.exp()
        return (log_p.exp() * log_p).sum(dim=1)  # minus the entropy

    def informative(self, teacher: Tensor) -> Tensor:
        """Which regions (B,) are informative by the teacher's logits (B, classes)."""
        config = self.context.config
        if not config.region_aware:
            return torch.ones(len(teacher), dtype=torch.bool, device=teacher.device)
        least = self.threshold if config.informative_by == "top" else -self.threshold
        return self._confidence(teacher) >= least

    def text_pair(self, class_names: list[str]) -> tuple[Tensor, Tensor]:
        """Normalised positive and negative text features, (classes, D) each."""
        negative = list(self.prompt.negative)
        return self.clip.text_features(class_names), self.clip.text_features(class_names, negative)

    def loss(self, batch: Batch) -> Tensor:
        """The weighted sum of all parts; both models' logits have the student's scale (ours)."""
        config, scale = self.context.config, self._scale
        with torch.no_grad():
            teacher = self.context.teacher.logits(batch.images, batch.regions, scale)
            informative = self.informative(teacher)
            if config.top_k is not None:
                teacher = smooth_top_k(teacher, config.top_k)
        image = self.image_features(batch)
        positive, negative = (scale * image @ text.T for text in self.text_pair(self.context.class_names))
        difference, temperature = positive - negative, config.temperature
        everything = torch.ones_like(informative)
        classified = difference if config.inference == "difference" else positive
        parts = {
            "label": lambda: mean_of(
                F.cross_entropy(classified, batch.labels, reduction="none"), informative
            ),
            "positive": lambda: distillation_loss(positive, teacher, temperature, informative),
            "negative": lambda: rejection(positive, negative, teacher, temperature, ~informative),
            "difference": lambda: distillation_loss(difference, teacher, temperature, everything),
            "intra": lambda: intra_class(difference, teacher, batch.images),
            "inter": lambda: inter_class(difference, teacher),
        }
        weights = {name: getattr(config, f"{name}_weight") for name in parts}
        return sum(weights[name] * part() for name, part in parts.items() if weights[name])

    def classifier(self, class_names: list[str]) -> Callable[[Tensor], Tensor]:
        """A function from normalised image features (B, D) to logits (B, classes)."""
        if self.context.config.inference == "difference":
            positive, negative = self.text_pair(class_names)
            text = positive - negative
        else:
            text = self.clip.text_features(class_names)
        return lambda image: self._scale * image @ text.T


def rejection(
    positive: Tensor, negative: Tensor, teacher: Tensor, temperature: float, chosen: Tensor
) -> Tensor:
    """Mean over classes and chosen regions of BCE(sigmoid(s⁻ - s⁺), 1 - softmax(teacher / T)) (ours).

    s⁺ gets no gradient: it is the negative texts that have to give way.
    """
    target = 1 - (teacher / temperature).softmax(dim=1)
    pushed = negative - positive.detach()
    each = F.binary_cross_entropy_with_logits(pushed, target, reduction="none").mean(dim=1)
    return mean_of(each, chosen)


def intra_class(difference: Tensor, teacher: Tensor, images: Tensor) -> Tensor:
    """Second order: differences between two regions of one image, for each class (ours).

    0 without two regions of any image.
    """
    first, second = torch.triu(images[:, None] == images[None], diagonal=1).nonzero(as_tuple=True)
    if not len(first):
        return 0 * difference.sum()
    return _relative_distance(difference[first] - difference[second], teacher[first] - teacher[second])


def inter_class(difference: Tensor, teacher: Tensor) -> Tensor:
    """Second order: differences between two classes, for each region; 0 for a single class (ours)."""
    first, second = torch.triu_indices(difference.shape[1], difference.shape[1], offset=1)
    if not len(first):
        return 0 * difference.sum()
    return _relative_distance(
        difference[:, first] - difference[:, second], teacher[:, first] - teacher[:, second]
    )


def _relative_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 after dividing both by their mean absolute value, so that their scales do not matter."""
    student, teacher = (x / x.abs().mean().clamp_min(1e-6) for x in (student, teacher))
    return F.smooth_l1_loss(student, teacher)
