"""KDPL: the teacher's answers in place of labels (arXiv 2407.03056)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..features.lookup import FILLINGS
from ..methods.base import Batch, Objective
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
    def kept(self, batch: Batch) -> list[int] | None:
        """Of a vocabulary, the names with the greatest mean probability in the batch, in their order."""
        config = self.context.config
        if config.vocabulary is None:
            return None
        mean = self._asked(batch).softmax(dim=1).mean(dim=0)
        return mean.topk(min(config.k_max, len(mean))).indices.sort().values.tolist()

    @torch.no_grad()
    def answers(self, batch: Batch) -> Tensor:
        """The teacher's logits (B, classes) of the kept classes, with the student's scale."""
        config, kept, logits = self.context.config, self.kept(batch), self._asked(batch)
        logits = logits if kept is None else logits[:, kept]
        return logits if config.top_k is None else FILLINGS[config.filling](logits, config.top_k)

    def _asked(self, batch: Batch) -> Tensor:
        """The teacher's logits of all classes."""
        context = self.context
        return context.teacher.logits(batch.images, batch.regions, context.backbone.logit_scale)

    def forward(self, logits: Tensor, image: Tensor, batch: Batch) -> Tensor:
        """Mean over the batch of `both_ways`."""
        return both_ways(logits, self.answers(batch)).mean()


def both_ways(student: Tensor, teacher: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 (B,) of two models' logits (B, classes)."""
    log_q, log_p = student.log_softmax(dim=1), teacher.log_softmax(dim=1)
    # KL(p || q) + KL(q || p) = Σ (p - q) (log p - log q)
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1)
