"""What every method shares: the frozen CLIP, a cascade that ends in the learning prompt, the classifier."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from ..clip.backbone import Backbone
from ..clip.prompted import PromptedClip
from ..clip.prompts import Prompt, random_prompt
from ..config import Strict
from ..lookup.store import RegionLookup


class MethodConfig(Strict):
    """Hyper-parameters of every method; each adds its own (values: config/methods)."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    lr: float = Field(ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    warmup_lr: float = Field(1e-5, ge=0, description="rate of epoch 0")


class DeepPromptConfig(MethodConfig):
    """Hyper-parameters of methods that learn independent tokens in several layers of both towers."""

    text_context: int = Field(ge=1, description="text tokens a layer")
    vision_context: int = Field(ge=1, description="vision tokens a layer")
    depth: int = Field(ge=1, description="layers with tokens of their own, in both towers")
    phrase: str | None = Field(None, description="initial words of text layer 0; none: random")


class NothingLearns(Strict):
    """No hyper-parameters: the method is evaluated as it is."""


class Batch(NamedTuple):
    """Regions of B training images: normalised pixels (B, 3, H, W), labels (B,), and which they are.

    `images` (B,) counts in the list that is trained on, `regions` (B,) are crop numbers.
    """

    pixels: Tensor
    labels: Tensor
    images: Tensor
    regions: Tensor


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method is trained or evaluated for.

    `class_names` are the classes that training knows; `frozen` are prompts learned before, in
    order; `generator` draws initial tokens; `lookup` holds the teacher's answers where needed.
    """

    backbone: Backbone
    class_names: list[str]
    template: str
    config: Strict
    generator: torch.Generator
    frozen: list[Prompt] = field(default_factory=list)
    lookup: RegionLookup | None = None


class Method(nn.Module):
    """A way to learn one prompt, cascaded behind the frozen ones of its task.

    Subclasses set `Config`, make `self.prompt` with `build_prompt` and define `loss`.
    Parameters of this module learn; its buffers are saved in checkpoints.
    """

    Config: ClassVar[type[Strict]]

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        self.prompt = self.build_prompt()
        learning = [] if self.prompt is None else [self.prompt]
        self.clip = PromptedClip(task.backbone, [*task.frozen, *learning])
        self.plain_clip = PromptedClip(task.backbone, [])

    def build_prompt(self) -> Prompt | None:
        """The prompt that learns, with its initial tokens; None for a method that learns nothing."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> Tensor:
        """Scalar loss of one batch."""
        raise NotImplementedError

    def finish_epoch(self, epoch: int) -> None:
        """Called after each epoch 0, 1, …; for averages over epochs."""

    def final_tensors(self) -> dict[str, Tensor]:
        """The tensors of the finished prompt, under the names of its state dict."""
        return dict(self.prompt.state_dict())

    def logits(self, pixels: Tensor, class_names: list[str]) -> Tensor:
        """Logits (B, classes): scaled cosine similarity of prompted image and text features."""
        return self.classifier(class_names)(self.clip.image_features(pixels))

    def classifier(self, class_names: list[str]) -> Callable[[Tensor], Tensor]:
        """A function from normalised image features (B, D) to logits (B, classes)."""
        text = self.class_features(class_names)
        scale = self.task.backbone.logit_scale
        return lambda image: scale * image @ text.T

    def class_features(self, class_names: list[str]) -> Tensor:
        """Normalised text features (classes, D)."""
        return self.clip.text_features(class_names)


class DeepPromptMethod(Method):
    """A method whose prompt is a deep block of independent tokens in both towers."""

    Config = DeepPromptConfig

    def build_prompt(self) -> Prompt:
        """Independent tokens for the first `depth` layers of both towers."""
        config = self.task.config
        return random_prompt(
            self.task.backbone,
            self.task.generator,
            text_context=config.text_context,
            vision_context=config.vision_context,
            depth=config.depth,
            phrase=config.phrase,
        )
