"""Linear probe: logistic regression on frozen image features (CLIP, arXiv 2103.00020, sec. 3.2 and A.3)."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from ..clip.prompts import Prompt
from ..errors import UserError
from ..validation import Strict
from .base import Examples, FittedMethod


class LinearProbeConfig(Strict):
    """Hyper-parameters of the linear probe."""

    least_exponent: int = Field(description="of 10: the least C, the inverse strength of regularisation")
    greatest_exponent: int = Field(description="of 10: the greatest C")
    steps_per_decade: int = Field(ge=1, description="values of C between two powers of ten")
    coarse_decades: int = Field(ge=1, description="powers of ten between the values that are tried first")
    max_iterations: int = Field(ge=1, description="of the solver")


class LinearHead(Prompt):
    """Weights (classes, D) and biases (classes,); no token."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, dim))
        self.bias = nn.Parameter(torch.zeros(classes))


class LinearProbe(FittedMethod):
    """Fits L2-regularised logistic regression; C is the best one on the validation images."""

    Config = LinearProbeConfig

    def build_prompt(self) -> LinearHead:
        """A head of zeros for the training classes."""
        backbone = self.context.backbone
        return LinearHead(len(self.context.class_names), backbone.feature_dim).to(backbone.device)

    def fit(self, train: Examples, val: Examples) -> list[dict[str, Any]]:
        """Search C and keep the best fit; return C and validation accuracy (percent) of every trial."""
        config = self.context.config
        if len(train.labels.unique()) < 2 or not len(val.labels):
            raise UserError(
                "The linear probe needs training images of at least 2 classes, and others to choose its "
                "regularisation by: add validation images to the split, or drop linear_probe."
            )
        per_decade = config.steps_per_decade

        @cache
        def probe(step: int) -> LogisticRegression:
            regression = LogisticRegression(C=10.0 ** (step / per_decade), max_iter=config.max_iterations)
            return regression.fit(train.features.numpy(), train.labels.numpy())

        tried: dict[int, float] = {}

        @cache
        def accuracy(step: int) -> float:
            tried[step] = 100 * probe(step).score(val.features.numpy(), val.labels.numpy())
            return tried[step]

        least, greatest = config.least_exponent * per_decade, config.greatest_exponent * per_decade
        self._take(probe(search(accuracy, least, greatest, config.coarse_decades * per_decade)))
        return [{"C": 10.0 ** (step / per_decade), "val_accuracy": right} for step, right in tried.items()]

    def _take(self, probe: LogisticRegression) -> None:
        """Copy a fit into the head.  Of two classes, the solver keeps one row; absent classes get none."""
        weight, bias = np.asarray(probe.coef_), np.asarray(probe.intercept_)
        if len(probe.classes_) == 2:
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        device = self.prompt.weight.device
        with torch.no_grad():
            self.prompt.bias.fill_(-1e4)  # a class without an image is never predicted
            self.prompt.weight[probe.classes_] = torch.tensor(weight, dtype=torch.float32, device=device)
            self.prompt.bias[probe.classes_] = torch.tensor(bias, dtype=torch.float32, device=device)

    def classifier(self, class_names: list[str]) -> Callable[[Tensor], Tensor]:
        """A function from normalised image features (B, D) to logits (B, classes).

        Raises UserError for other classes than those of the training.
        """
        if class_names != self.context.class_names:
            raise UserError(
                "A linear probe knows only the classes that it was fitted to: evaluate it on these, with the "
                "protocol few_shot."
            )
        return lambda image: image @ self.prompt.weight.T + self.prompt.bias


def search(accuracy: Callable[[int], float], least: int, greatest: int, coarse: int) -> int:
    """The step with the greatest accuracy, found as CLIP does: a coarse grid, then halved intervals.

    Ties go to the step that was tried first, the greatest: with few validation images many are alike, and
    the least C learn nothing at all.
    """
    best = max(range(greatest, least - 1, -coarse), key=accuracy)
    stride = coarse
    while stride > 1:
        stride = (stride + 1) // 2
        near = [best, *(step for step in (best + stride, best - stride) if least <= step <= greatest)]
        best = max(near, key=accuracy)
    return best
