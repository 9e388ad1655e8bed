"""Zero-shot classifiers: class features from hand-written templates, without any learned prompt."""

import torch.nn.functional as F
from torch import Tensor

from ..compat import import_open_clip
from .prompted import PromptedClip, readable


def openai_templates() -> list[str]:
    """OpenAI's 80 templates for ImageNet, each with one {}."""
    return [template("{}") for template in import_open_clip().OPENAI_IMAGENET_TEMPLATES]


def fill(template: str, class_names: list[str]) -> list[str]:
    """The template's sentence for each class."""
    return [template.replace("{}", readable(name)) for name in class_names]


def template_features(clip: PromptedClip, template: str, class_names: list[str]) -> Tensor:
    """Normalised features (classes, D) of one template's sentences."""
    return clip.sentence_features(fill(template, class_names))


def ensemble_features(clip: PromptedClip, templates: list[str], class_names: list[str]) -> Tensor:
    """Features (classes, D): mean over templates of normalised features, normalised (as CLIP does)."""
    total = sum(template_features(clip, template, class_names) for template in templates)
    return F.normalize(total, dim=-1)
