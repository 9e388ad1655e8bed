"""Zero-shot CLIP with the ensemble of OpenAI's 80 ImageNet templates."""

from torch import Tensor

from ..clip.templates import ensemble_features, openai_templates
from .base import Method


class ZeroShotEnsemble(Method):
    """The mean of 80 templates' features."""

    def class_features(self, class_names: list[str]) -> Tensor:
        """Normalised text features (classes, D), averaged over the templates."""
        return ensemble_features(self.clip, openai_templates(), class_names)
