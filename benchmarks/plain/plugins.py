"""What plug-ins teach a plain method, as published: the teacher runs at every step, on the pixels."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .methods import IVLP, divergence, normalise, present, readable, sentence_features
from .towers import text_features

Tokenizer = Callable[[list[str]], Tensor]


class KDPL:
    """Both models' divergences, half each (arXiv 2407.03056); no label is used.

    `template` is a sentence with one {} for the class name.
    """

    def __init__(
        self, method: IVLP, *, teacher: nn.Module, teacher_tokenizer: Tokenizer, template: str
    ) -> None:
        self.method = method
        self.method.objective = self.objective
        self.teacher = teacher
        sentences = [template.replace("{}", readable(name)) for name in method.class_names]
        self.teacher_text = normalise(sentence_features(teacher, teacher_tokenizer, sentences))

    def loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of pixels (B, 3, H, W)."""
        return self.method.loss(pixels, labels)

    @torch.no_grad()
    def answers(self, pixels: Tensor) -> Tensor:
        """The teacher's logits (B, classes), with the student's scale."""
        image = self.teacher.encode_image(pixels, normalize=True)
        return self.method.scale * image @ self.teacher_text.T

    def objective(self, logits: Tensor, image: Tensor, pixels: Tensor, labels: Tensor) -> Tensor:
        """What is put in the place of cross-entropy."""
        return self.each(logits, self.answers(pixels)).mean()

    def each(self, logits: Tensor, answers: Tensor) -> Tensor:
        """(KL(p || q) + KL(q || p)) / 2 of each region (B,)."""
        return 0.5 * (divergence(answers, logits) + divergence(logits, answers)).sum(dim=1)


class FDBPL(KDPL):
    """Weighted by the teacher's confidence, and a negative text (arXiv 2505.18053, the authors' code).

    `negative` are its tokens, as many as the positive text has, None for methods that have no such text;
    `by_batch`: the weight is the batch's mean, as on PromptSRC.  The second order, which is zero, is computed
    as published.
    """

    def __init__(self, method: IVLP, *, negative: Tensor | None, by_batch: bool, **options: object) -> None:
        super().__init__(method, **options)
        self.negative = negative
        self.by_batch = by_batch

    def objective(self, logits: Tensor, image: Tensor, pixels: Tensor, labels: Tensor) -> Tensor:
        """What is put in the place of cross-entropy."""
        answers = self.answers(pixels)
        p = answers.softmax(dim=1)
        sure = 1 + (p * (p + 1e-6).log()).sum(dim=1) / math.log(p.shape[1])
        each = self.each(logits, answers)
        loss = sure.mean() * each.mean() if self.by_batch else (sure * each).mean()
        if self.negative is None:
            return loss
        blocks = present([[self.negative], *self.method.text_blocks()[1:]])
        text = normalise(text_features(self.method.student, self.method.tokens, blocks))
        negative = self.method.scale * image @ text.T
        n = negative.softmax(dim=1)
        loss = loss + ((1 - sure) * (n * n.log()).sum(dim=1)).mean()
        loss = loss + 0.001 * (sure * F.cosine_similarity(logits, negative)).mean()
        seen = answers.argmax(dim=1).unique()
        difference = (self.method.text_features() - text)[seen]
        pairs = [(i, j) for i in range(len(seen)) for j in range(len(seen)) if i != j]
        return loss + 0.1 * sum(((difference[i] - difference[j]).mean() for i, j in pairs), 0.0)


PLUGINS = {"kdpl": KDPL, "fdbpl": FDBPL}
