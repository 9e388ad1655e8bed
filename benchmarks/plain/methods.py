"""Prompt learning methods as published: whole towers, all classes and frozen models at every step.

`student` and `teacher` are frozen open_clip models in eval mode.  `prompt` holds the tensors that
learn, `boosting` a frozen block of prompts learned before (CasPL); both have the keys "text.0",
"text.1", … and "vision.0", "vision.1", …: tokens (n_ctx, width) of each layer.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .towers import Block, image_features, text_features

Tokenizer = Callable[[list[str]], Tensor]


class IVLP:
    """Independent tokens in both towers; cross-entropy (the baseline of arXiv 2307.06948).

    The other methods override what they do in another way.
    """

    fixed_words = ""  # what stands between the context and the class name

    def __init__(
        self,
        student: nn.Module,
        tokenizer: Tokenizer,
        class_names: list[str],
        prompt: dict[str, Tensor],
        *,
        boosting: dict[str, Tensor] | None = None,
    ) -> None:
        self.student = student
        self.class_names = class_names
        self.prompt = prompt
        self.boosting = boosting or {}
        self.scale = student.logit_scale.exp()
        context = sum(len(block[0]) for block in self.text_blocks())
        sentences = [
            " ".join(["X"] * context + self.fixed_words.split() + [readable(name) + "."])
            for name in class_names
        ]
        self.tokens = tokenizer(sentences).to(student.logit_scale.device)

    def text_blocks(self) -> list[Block]:
        """Text tokens: the adapting block, then the boosting block."""
        return present([layers(self.prompt, "text"), layers(self.boosting, "text")])

    def vision_blocks(self) -> list[Block]:
        """Vision tokens: the boosting block, then the adapting block."""
        return present([layers(self.boosting, "vision"), layers(self.prompt, "vision")])

    def text_features(self) -> Tensor:
        """Normalised features (classes, D) of the prompted class names."""
        return normalise(text_features(self.student, self.tokens, self.text_blocks()))

    def image_features(self, pixels: Tensor) -> Tensor:
        """Normalised features (B, D) of normalised pixels (B, 3, H, W)."""
        return normalise(image_features(self.student, pixels, self.vision_blocks()))

    def logits(self, image: Tensor) -> Tensor:
        """Logits (B, classes) of normalised image features (B, D): scaled cosine similarity."""
        return self.scale * image @ self.text_features().T

    def loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of pixels (B, 3, H, W) and labels (B,)."""
        image = self.image_features(pixels)
        return self.objective(self.logits(image), image, pixels, labels)

    def objective(self, logits: Tensor, image: Tensor, pixels: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy; a plug-in puts something else in its place."""
        return F.cross_entropy(logits, labels)


class CoOp(IVLP):
    """A text context at layer 0; cross-entropy (arXiv 2109.01134)."""

    @torch.no_grad()
    def image_features(self, pixels: Tensor) -> Tensor:
        """Normalised features (B, D); nothing learns on this side."""
        return super().image_features(pixels)


class CoCoOp(CoOp):
    """A text context, shifted by a net's answer to each image; cross-entropy (arXiv 2203.05557).

    `prompt` also holds "meta.linear1.weight" (h, D), "meta.linear1.bias" (h,),
    "meta.linear2.weight" (d_t, h) and "meta.linear2.bias" (d_t,).
    """

    def logits(self, image: Tensor) -> Tensor:
        """Logits (B, classes): each image's features (D,) against text features of its own."""
        return torch.stack([self.scale * own @ self.text_features_for(own).T for own in image])

    def text_features_for(self, image: Tensor) -> Tensor:
        """Normalised text features (classes, D) for one normalised image feature (D,)."""
        shift = self.shift(image)
        context, *boosting = self.text_blocks()
        shifted = [tokens + shift for tokens in context]
        return normalise(text_features(self.student, self.tokens, [shifted, *boosting]))

    def shift(self, image: Tensor) -> Tensor:
        """The meta-net's answer (d_t,) to a normalised image feature (D,)."""
        hidden = F.linear(image, self.prompt["meta.linear1.weight"], self.prompt["meta.linear1.bias"]).relu()
        return F.linear(hidden, self.prompt["meta.linear2.weight"], self.prompt["meta.linear2.bias"])


class MaPLe(IVLP):
    """Text tokens, and vision tokens that are a linear map of them; cross-entropy (arXiv 2210.03117).

    `prompt` holds no vision tokens but "map.0.weight" (d_v, d_t), "map.0.bias" (d_v,), "map.1.weight", …
    `fixed_words` ("of a", or "" as in a cascade) stand between the context and the class name.
    """

    def __init__(
        self,
        student: nn.Module,
        tokenizer: Tokenizer,
        class_names: list[str],
        prompt: dict[str, Tensor],
        *,
        fixed_words: str,
        boosting: dict[str, Tensor] | None = None,
    ) -> None:
        self.fixed_words = fixed_words
        super().__init__(student, tokenizer, class_names, prompt, boosting=boosting)

    def vision_blocks(self) -> list[Block]:
        """Vision tokens: the boosting block, then the map of the adapting text tokens."""
        mapped = [
            F.linear(tokens, self.prompt[f"map.{layer}.weight"], self.prompt[f"map.{layer}.bias"])
            for layer, tokens in enumerate(layers(self.prompt, "text"))
        ]
        return present([layers(self.boosting, "vision"), mapped])


class PromptSRC(IVLP):
    """Independent tokens in both towers, held near the frozen model (arXiv 2307.06948).

    `frozen_text` (classes, D) is what `ensemble_features` gives, once before training.
    """

    def __init__(
        self,
        student: nn.Module,
        tokenizer: Tokenizer,
        class_names: list[str],
        prompt: dict[str, Tensor],
        *,
        frozen_text: Tensor,
        boosting: dict[str, Tensor] | None = None,
        text_weight: float = 25,
        image_weight: float = 10,
    ) -> None:
        super().__init__(student, tokenizer, class_names, prompt, boosting=boosting)
        self.text_weight = text_weight
        self.image_weight = image_weight
        self.frozen_text = frozen_text

    def loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, plus the distances from the frozen model's features and logits."""
        image, text = self.image_features(pixels), self.text_features()
        with torch.no_grad():
            frozen_image = self.student.encode_image(pixels, normalize=True)
        logits = self.scale * image @ text.T
        frozen_logits = self.scale * frozen_image @ self.frozen_text.T
        return (
            self.objective(logits, image, pixels, labels)
            + self.text_weight * (text - self.frozen_text).abs().mean()
            + self.image_weight * (image - frozen_image).abs().mean()
            + divergence(frozen_logits, logits).sum() / logits.numel()
        )


class Boosting(IVLP):
    """CasPL's first phase: independent tokens in both towers learn a teacher's answers (arXiv 2409.17805).

    `template` is a sentence with one {} for the class name; the teacher sees the student's pixels.
    """

    def __init__(
        self,
        student: nn.Module,
        tokenizer: Tokenizer,
        class_names: list[str],
        prompt: dict[str, Tensor],
        *,
        teacher: nn.Module,
        teacher_tokenizer: Tokenizer,
        template: str,
        boosting: dict[str, Tensor] | None = None,
    ) -> None:
        super().__init__(student, tokenizer, class_names, prompt, boosting=boosting)
        self.teacher = teacher
        sentences = [template.replace("{}", readable(name)) for name in class_names]
        self.teacher_text = normalise(sentence_features(teacher, teacher_tokenizer, sentences))

    def loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """KL(teacher || student), both with the student's scale, mean over the batch; no label is used."""
        with torch.no_grad():
            teacher_image = self.teacher.encode_image(pixels, normalize=True)
        teacher_logits = self.scale * teacher_image @ self.teacher_text.T
        return divergence(teacher_logits, self.logits(self.image_features(pixels))).sum(dim=1).mean()


class PromptKD(IVLP):
    """A student that takes over a tuned teacher's text features; no label is used (arXiv 2403.02781).

    `prompt` holds vision tokens only; `projection` learns too, see `promptkd_projection`.  `teacher` is the
    larger CLIP with the prompt that it was tuned to, seeing the student's pixels.
    """

    def __init__(
        self,
        student: nn.Module,
        tokenizer: Tokenizer,
        class_names: list[str],
        prompt: dict[str, Tensor],
        *,
        teacher: IVLP,
        projection: nn.Module,
        weight: float = 1000,
        boosting: dict[str, Tensor] | None = None,
    ) -> None:
        super().__init__(student, tokenizer, class_names, prompt, boosting=boosting)
        self.teacher = teacher
        self.projection = projection
        self.weight = weight
        with torch.no_grad():
            self.teacher_text = teacher.text_features()

    def text_features(self) -> Tensor:
        """The teacher's normalised features (classes, D_teacher); the student's text tower is not used."""
        return self.teacher_text

    def image_features(self, pixels: Tensor) -> Tensor:
        """Normalised features (B, D_teacher): the student's, projected."""
        features = image_features(self.student, pixels, self.vision_blocks())
        return normalise(self.projection(features[:, :, None, None])[:, :, 0, 0])

    def loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """KL(teacher || student) summed and divided by the number of logits, times the weight.

        Each side has its own scale.
        """
        with torch.no_grad():
            teacher_logits = self.teacher.scale * self.teacher.image_features(pixels) @ self.teacher_text.T
        logits = self.logits(self.image_features(pixels))
        return self.weight * divergence(teacher_logits, logits).sum() / logits.numel()


class FDBPL(Boosting):
    """Positive and negative texts over regions; the teacher sees the student's pixels (arXiv 2505.18053).

    All weights are 1, the temperature too, and the positive texts classify.  `prompt` also holds
    "negative.0", "negative.1", …, text tokens like those of "text".  A batch holds `regions_per_image`
    regions of one image, then of the next; `threshold` is the least top probability of an informative region.
    """

    def __init__(self, *arguments: Any, regions_per_image: int, threshold: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.regions_per_image = regions_per_image
        self.threshold = threshold

    def negative_text_features(self) -> Tensor:
        """Normalised features (classes, D) of the negative texts."""
        blocks = present([layers(self.prompt, "negative"), layers(self.boosting, "text")])
        return normalise(text_features(self.student, self.tokens, blocks))

    def loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """The sum of six parts, region by region and pair by pair."""
        with torch.no_grad():
            teacher = self.scale * self.teacher.encode_image(pixels, normalize=True) @ self.teacher_text.T
        image, positive_text = self.image_features(pixels), self.text_features()
        positive = self.scale * image @ positive_text.T
        negative = self.scale * image @ self.negative_text_features().T
        difference = positive - negative
        informative, labelled, rejected = [], [], []
        for region, answer in enumerate(teacher.softmax(dim=1)):
            if answer.max() >= self.threshold:
                informative.append(
                    divergence(teacher[region : region + 1], positive[region : region + 1]).sum()
                )
                labelled.append(F.cross_entropy(positive[region], labels[region]))
            else:
                says_no = torch.sigmoid(negative[region] - positive[region].detach())
                rejected.append(F.binary_cross_entropy(says_no, 1 - answer))
        parts = [torch.stack(some).mean() for some in (informative, labelled, rejected) if some]
        parts.append(divergence(teacher, difference).sum() / len(teacher))
        return sum(parts) + self.second_order(difference, teacher)

    def second_order(self, difference: Tensor, teacher: Tensor) -> Tensor:
        """Between regions of one image, and between classes of one region."""
        regions, classes = range(len(difference)), range(difference.shape[1])
        image = [region // self.regions_per_image for region in regions]
        pairs = [(a, b) for a in regions for b in regions if a < b and image[a] == image[b]]
        intra = [torch.stack([x[a] - x[b] for a, b in pairs]) for x in (difference, teacher)]
        both = [(a, b) for a in classes for b in classes if a < b]
        inter = [torch.stack([x[:, a] - x[:, b] for a, b in both]) for x in (difference, teacher)]
        return sum(F.smooth_l1_loss(x / x.abs().mean(), y / y.abs().mean()) for x, y in (intra, inter))


def promptkd_projection(student_dim: int, teacher_dim: int) -> nn.Sequential:
    """PromptKD's layers from image features (B, D, 1, 1) to the teacher's width, in training mode."""
    return nn.Sequential(
        nn.Conv2d(student_dim, teacher_dim, kernel_size=1),
        nn.BatchNorm2d(teacher_dim),
        nn.ReLU(),
        nn.Conv2d(teacher_dim, teacher_dim, kernel_size=1),
    )


def readable(class_name: str) -> str:
    """A class name as prompts spell it: underscores become spaces."""
    return class_name.replace("_", " ")


def layers(tensors: dict[str, Tensor], tower: str) -> Block:
    """Tokens of layers 0, 1, … of one tower; an empty list if it has none."""
    count = sum(key.startswith(f"{tower}.") for key in tensors)
    return [tensors[f"{tower}.{layer}"] for layer in range(count)]


def present(blocks: list[Block]) -> list[Block]:
    """The blocks that hold tokens."""
    return [block for block in blocks if block]


def normalise(features: Tensor) -> Tensor:
    """Features (…, D) of length 1."""
    return F.normalize(features, dim=-1)


def divergence(target_logits: Tensor, logits: Tensor) -> Tensor:
    """Terms (B, classes) of KL(softmax(target) || softmax(logits))."""
    log_target, log_probability = F.log_softmax(target_logits, dim=1), F.log_softmax(logits, dim=1)
    return log_target.exp() * (log_target - log_probability)


@torch.no_grad()
def sentence_features(clip: nn.Module, tokenizer: Tokenizer, sentences: list[str]) -> Tensor:
    """Features (sentences, D) of plain sentences, not normalised."""
    return clip.encode_text(tokenizer(sentences).to(clip.logit_scale.device))


def ensemble_features(clip: nn.Module, tokenizer: Tokenizer, class_names: list[str]) -> Tensor:
    """Features (classes, D): mean of the first 60 OpenAI templates' raw features, then normalised."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES  # noqa: PLC0415 callers may have to prepare its import

    each = [
        sentence_features(clip, tokenizer, [template(readable(name)) for name in class_names])
        for template in OPENAI_IMAGENET_TEMPLATES[:60]
    ]
    return normalise(torch.stack(each).mean(dim=0))
