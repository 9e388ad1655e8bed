"""PromptKD: a student that takes over the text features of a tuned teacher (arXiv 2403.02781)."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ..clip.prompts import DeepPrompt, drawn_from, random_prompt
from ..clip.text import Block
from ..errors import UserError
from .base import Batch, Method, MethodConfig, distillation_loss


class PromptKDConfig(MethodConfig):
    """Hyper-parameters of PromptKD."""

    batch_size: int = Field(ge=2, description="batch normalisation needs two")
    n_ctx_vision: int = Field(ge=1, description="vision tokens a layer")
    prompt_depth: int = Field(ge=1, description="layers of the image tower with tokens of their own")
    temperature: float = Field(1.0, gt=0)
    weight: float = Field(gt=0, description="of the divergence from the teacher")


class ProjectedPrompt(DeepPrompt):
    """Vision tokens, the projection of image features to the teacher's width, and the teacher's classes.

    `teacher_text` (classes, D_teacher) does not learn; it is kept because the student needs it at test time.
    """

    def __init__(self, vision: Block, projection: nn.Module, teacher_text: Tensor) -> None:
        super().__init__([], vision)
        self.projection = projection
        self.register_buffer("teacher_text", teacher_text)


def _projection(student_dim: int, teacher_dim: int, generator: torch.Generator) -> nn.Sequential:
    """1×1 convolution, batch normalisation, ReLU, 1×1 convolution, with torch's default initial weights.

    On single vectors, 1×1 convolutions are linear layers.
    """
    with drawn_from(generator):
        return nn.Sequential(
            nn.Linear(student_dim, teacher_dim),
            nn.BatchNorm1d(teacher_dim),
            nn.ReLU(),
            nn.Linear(teacher_dim, teacher_dim),
        )


class PromptKD(Method):
    """Learns vision tokens and the projection from the tuned teacher's answers; no labels."""

    Config = PromptKDConfig

    def build_prompt(self) -> ProjectedPrompt:
        """Random vision tokens, the projection, and the teacher's text features of all classes."""
        config, backbone, generator = self.context.config, self.context.backbone, self.context.generator
        shape = {"n_ctx_vision": config.n_ctx_vision, "prompt_depth": config.prompt_depth}
        vision = random_prompt(backbone, generator, **shape).vision_block()
        text = self.context.teacher_text
        projection = _projection(backbone.feature_dim, text.shape[1], generator)
        return ProjectedPrompt(vision, projection, text.clone()).to(backbone.device)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Normalised image features (B, D_teacher) of normalised pixels (B, 3, H, W)."""
        return F.normalize(self.prompt.projection(self.clip.raw_image_features(pixels)), dim=-1)

    def class_features(self, class_names: list[str]) -> Tensor:
        """The teacher's normalised text features (classes, D_teacher) of some of the classes.

        Raises UserError for a class that the teacher was not asked for.
        """
        row = {name: number for number, name in enumerate(self.context.class_names)}
        unknown = [name for name in class_names if name not in row]
        if unknown:
            raise UserError(
                f"The prompt has no text features of the teacher for the class {unknown[0]!r}: PromptKD is "
                "trained again on each data set that it is tested on."
            )
        return self.prompt.teacher_text[[row[name] for name in class_names]]

    def loss(self, batch: Batch) -> Tensor:
        """KL(teacher || student), summed and divided by the number of logits, times the weight."""
        config, teacher = self.context.config, self.context.teacher
        with torch.no_grad():
            scale = torch.tensor(teacher.logit_scale, device=self.context.backbone.device)
            target = teacher.logits(batch.images, batch.regions, scale)
        logits = self.logits(batch)
        per_image = distillation_loss(logits, target, config.temperature)
        return config.weight * per_image / logits.shape[1]
