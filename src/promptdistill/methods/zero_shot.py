"""Zero-shot CLIP: nothing learns; class features come from the data set's template."""

from torch import Tensor

from ..clip.templates import template_features
from .base import Method


class ZeroShot(Method):
    """The data set's template, from config/datasets."""

    def class_features(self, class_names: list[str]) -> Tensor:
        """Normalised text features (classes, D) of the template's sentences."""
        return template_features(self.clip, self.context.template, class_names)
