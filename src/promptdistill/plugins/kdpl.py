"""KDPL: the teacher's answers in place of labels (arXiv 2407.03056)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..features.lookup import FILLINGS
from ..methods.base import Batch, Objective, Target
from ..validation import Strict


class KDPLConfig(Strict):
    """Hyper-parameters of KDPL, beside the method's."""

    regions: int | None = Field(None, ge=1, description="regions of an image in all; none: one an epoch")
    region_scale: tuple[float, float] | None = Field(
        None,
        description="least and greatest area of a region, as a share of the image's; none: the experiment's",
    )
    vocabulary: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] | None = Field(
        None,
        description="file config/vocabularies/NAME.txt, a name a line: training knows these in place of the "
        "class names of the data set",
    )
    k_max: int = Field(1000, ge=2, description="names of a vocabulary that a batch keeps")
    top_k: int | None = Field(None, ge=1, description="teacher's logits of a region that are kept; none: all")
    filling: Literal["even_mass", "fkd_logits", "renormalise"] = Field(
        "even_mass", description="what the other classes get"
    )


class KDPL(Objective):
    """Forward and reverse KL between both models' probabilities, half each; labels are not used."""

    Config = KDPLConfig

    @torch.no_grad()
    def target(self, batch: Batch) -> Target:
        """The teacher's logits, with the student's scale.

        Of a vocabulary, they are over the names with the greatest mean probability in the batch, in order.
        """
        context, config, kept = self.context, self.context.config, None
        logits = context.teacher.logits(batch.images, batch.regions, context.backbone.logit_scale)
        if config.vocabulary is not None:
            mean = logits.softmax(dim=1).mean(dim=0)
            kept = mean.topk(min(config.k_max, len(mean))).indices.sort().values.tolist()
            logits = logits[:, kept]
        if config.top_k is not None:
            logits = FILLINGS[config.filling](logits, config.top_k)
        return Target(kept, logits)

    def forward(self, logits: Tensor, image: Tensor, target: Target) -> Tensor:
        """Mean over the batch of `both_ways`."""
        return both_ways(logits, target.answers).mean()


def both_ways(student: Tensor, teacher: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 (B,) of two models' logits (B, classes)."""
    log_q, log_p = student.log_softmax(dim=1), teacher.log_softmax(dim=1)
    # KL(p || q) + KL(q || p) = Σ (p - q) (log p - log q)
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1)
