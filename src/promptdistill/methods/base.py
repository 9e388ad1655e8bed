"""What every method shares: the frozen CLIP, a cascade that ends in the learning prompt, the classifier."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ..clip.backbone import Backbone
from ..clip.prompted import PromptedClip
from ..clip.prompts import Prompt, random_prompt
from ..errors import UserError
from ..features.lookup import LookupSubset, RegionLookup
from ..validation import Strict


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

    n_ctx_text: int = Field(ge=1, description="text tokens a layer")
    n_ctx_vision: int = Field(ge=1, description="vision tokens a layer")
    prompt_depth: int = Field(ge=1, description="layers with tokens of their own, in both towers")
    ctx_init: str | None = Field(None, description="initial words of text layer 0; none: random")


class NothingLearns(Strict):
    """No hyper-parameters: the method is evaluated as it is."""


class Batch(NamedTuple):
    """Regions of B training images: normalised pixels (B, 3, H, W), labels (B,), and which they are.

    `images` (B,) counts in the list that is trained on, `regions` (B,) are crop numbers.  There are no
    pixels where the method looks up all that it needs of an image.
    """

    pixels: Tensor | None
    labels: Tensor
    images: Tensor
    regions: Tensor


@dataclass(frozen=True, kw_only=True)
class MethodContext:
    """What a method is trained or evaluated for.

    `class_names` are the classes of `dataset` that training knows; `files` holds what the method's entry
    names under `files`, parsed, by name: class name -> anything.  `frozen` are prompts learned before, in
    order; `generator` draws initial tokens.  `teacher` holds the teacher's answers where needed, and
    `teacher_text` (classes, D_teacher) its text features of `class_names`, for a student that takes them
    over.  `plain_features` and `cascade_features` hold the student's image features, without prompts and
    with the frozen ones; what is not at hand is computed at every step.
    """

    backbone: Backbone
    class_names: list[str]
    template: str
    config: Strict
    generator: torch.Generator
    dataset: str = ""
    files: dict[str, Any] = field(default_factory=dict)
    frozen: list[Prompt] = field(default_factory=list)
    teacher: RegionLookup | LookupSubset | None = None
    teacher_text: Tensor | None = None
    plain_features: RegionLookup | LookupSubset | None = None
    cascade_features: RegionLookup | LookupSubset | None = None


class Target(NamedTuple):
    """What the logits of one batch are taught.

    `kept` are the numbers of the training classes that the logits are over, None for all of them; `answers`
    are labels (B,), or a teacher's logits (B, classes) of these classes.
    """

    kept: list[int] | None
    answers: Tensor

    def names(self, class_names: list[str]) -> list[str]:
        """Of the training classes, the kept ones."""
        return class_names if self.kept is None else [class_names[number] for number in self.kept]

    def rows(self, of_all: Tensor) -> Tensor:
        """Of what there is for all training classes (all, …), that of the kept ones (classes, …)."""
        return of_all if self.kept is None else of_all[self.kept]


class Objective(nn.Module):
    """What logits are taught by: labels, or what a plug-in says in their place.

    Its parameters learn with the method's, are saved in checkpoints, and are no part of the prompt.  `Config`
    are hyper-parameters beside the method's.
    """

    Config: ClassVar[type[Strict]] = NothingLearns

    def __init__(self, context: MethodContext) -> None:
        super().__init__()
        self.context = context

    def target(self, batch: Batch) -> Target:
        """What a batch is taught: its labels, over all training classes."""
        return Target(None, batch.labels)

    def forward(self, logits: Tensor, image: Tensor, target: Target) -> Tensor:
        """Scalar loss of logits (B, classes) of normalised image features (B, D): cross-entropy."""
        return F.cross_entropy(logits, target.answers)


class Method(nn.Module):
    """A way to learn one prompt, cascaded behind the frozen ones of its context.

    Subclasses that learn set `Config` and say with `build_prompt` what; most have a `loss` of their own.
    Parameters of this module learn; its buffers are saved in checkpoints.  A loss that asks `objective` works
    with plug-ins (key takes_plugins of the entry).
    """

    Config: ClassVar[type[Strict]] = NothingLearns

    def __init__(self, context: MethodContext) -> None:
        super().__init__()
        self.context = context
        self.prompt = self.build_prompt()
        learning = [self.prompt] if self.prompt else []
        self.clip = PromptedClip(context.backbone, [*context.frozen, *learning])
        self.plain_clip = PromptedClip(context.backbone, [])
        self.objective = Objective(context)
        self.learns_on_images = self.prompt is not None and bool(self.prompt.vision_block())

    def build_prompt(self) -> Prompt | None:
        """The prompt that learns, with its initial tokens; None for a method that learns nothing."""

    def loss(self, batch: Batch) -> Tensor:
        """Scalar loss of one batch: what the objective makes of its logits, if a method says no more."""
        target, image = self.objective.target(batch), self.image_features(batch)
        logits = self.classifier(target.names(self.context.class_names))(image)
        return self.objective(logits, image, target)

    def finish_epoch(self, epoch: int) -> None:
        """Called after each epoch 0, 1, …; for averages over epochs."""

    def final_tensors(self) -> dict[str, Tensor]:
        """The tensors of the finished prompt, under the names of its state dict."""
        return dict(self.prompt.state_dict())

    @property
    def regions_per_image(self) -> int:
        """Regions of one image in a training batch."""
        return 1

    @property
    def needs_pixels(self) -> bool:
        """Whether training has to see images, and not only their looked-up features."""
        return self.learns_on_images or self.context.cascade_features is None

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Normalised image features (B, D) of normalised pixels (B, 3, H, W)."""
        return self.clip.image_features(pixels)

    def image_features(self, batch: Batch) -> Tensor:
        """Normalised image features (B, D); looked up where nothing learns on the image side."""
        if self.learns_on_images:
            return self.encode_images(batch.pixels)
        return _frozen_features(self.clip, self.context.cascade_features, batch)

    def plain_image_features(self, batch: Batch) -> Tensor:
        """Normalised image features (B, D) of the student without any prompt; looked up if possible."""
        return _frozen_features(self.plain_clip, self.context.plain_features, batch)

    def logits(self, batch: Batch) -> Tensor:
        """Logits (B, classes) over the training classes: scaled cosine similarity."""
        return self.classifier(self.context.class_names)(self.image_features(batch))

    def classifier(self, class_names: list[str]) -> Callable[[Tensor], Tensor]:
        """A function from normalised image features (B, D) to logits (B, classes)."""
        text = self.class_features(class_names)
        scale = self.context.backbone.logit_scale
        return lambda image: scale * image @ text.T

    def class_features(self, class_names: list[str]) -> Tensor:
        """Normalised text features (classes, D)."""
        return self.clip.text_features(class_names)


class Examples(NamedTuple):
    """Normalised features (N, D) of whole images, and their labels (N,)."""

    features: Tensor
    labels: Tensor


class FittedMethod(Method):
    """A method that is fitted at once to the features of whole images, and not trained step by step."""

    def fit(self, train: Examples, val: Examples) -> list[dict[str, Any]]:
        """Set the prompt's parameters; return what was tried, in order, for the history."""
        raise NotImplementedError


@torch.no_grad()
def _frozen_features(clip: PromptedClip, lookup: RegionLookup | LookupSubset | None, batch: Batch) -> Tensor:
    """Image features (B, D) that nothing changes: looked up, or computed."""
    if lookup is None:
        if batch.pixels is None:
            raise UserError(
                "The method asks for image features that are not looked up, but sees no images: set looks_up "
                "in its entry of config/methods to the features that it uses, or drop the key."
            )
        return clip.image_features(batch.pixels)
    return lookup.features(batch.images, batch.regions).to(clip.backbone.device)


class DeepPromptMethod(Method):
    """A method whose prompt is a deep block of independent tokens in both towers."""

    Config = DeepPromptConfig

    def build_prompt(self) -> Prompt:
        """Independent tokens for the first layers of both towers."""
        shape = {name: getattr(self.context.config, name) for name in DeepPromptConfig.__annotations__}
        return random_prompt(self.context.backbone, self.context.generator, **shape)


def distillation_loss(
    student: Tensor, teacher: Tensor, temperature: float, chosen: Tensor | None = None
) -> Tensor:
    """KL(softmax(teacher / T) || softmax(student / T)) · T² of logits (B, classes).

    Mean over the batch, or over the `chosen` (B,) of it.
    """
    log_p, log_q = ((logits / temperature).log_softmax(dim=1) for logits in (teacher, student))
    if chosen is None:
        return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * temperature**2
    each = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1) * temperature**2
    return mean_of(each, chosen)


def mean_of(each: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values; 0 if none is chosen, without waiting for the device."""
    return (each * chosen).sum() / chosen.sum().clamp_min(1)
