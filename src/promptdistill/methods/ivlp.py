"""Independent vision-language prompting: deep tokens in both towers (the baseline of arXiv 2307.06948)."""

import torch.nn.functional as F
from torch import Tensor

from .base import Batch, DeepPromptMethod


class IVLP(DeepPromptMethod):
    """Learns text and vision tokens of several layers; cross-entropy."""

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy over the training classes."""
        return F.cross_entropy(self.logits(batch), batch.labels)
