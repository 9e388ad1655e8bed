"""Pretraining of the two miniature CLIP models on drawn pictures and their captions.

The teacher sees every rendering style, the student hardly any but plain photos: like a larger CLIP,
the teacher knows more domains.  The loss is CLIP's, with two savings that change no expectation:
each distinct caption of a batch is encoded once, with soft targets where several pictures share it,
and only token embeddings of words that can occur are trained.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..compat import import_open_clip
from ..data.images import normalise
from ..files import atomic, sha256, write_json
from ..progress import progress
from . import MODELS, captions
from .datasets import DATASETS, TEST
from .pictures import COLOURS, FILLS, PATTERNS, SHAPES, SIZE, Subject, draw

_CHUNK = 500  # pictures a worker draws at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How one model is pretrained.  `style_weights` are relative frequencies of rendering styles."""

    model: str
    seed: int
    steps: int
    style_weights: dict[str, float]
    pictures: int = 60_000
    pattern_share: float = 0.2
    batch_size: int = 320
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 200
    photo_steps: int = 0  # first steps that show plain photos only; other styles come easier after
    threads: int = 2  # part of the recipe: sums depend on it in their last bits


RECIPES = {
    "student": Recipe(
        model="miniature-student",
        seed=101,
        steps=4_000,
        style_weights={"photo": 84, "sketch": 5, "noisy": 3, "night": 2, "mosaic": 3, "blurred": 3},
    ),
    "teacher": Recipe(
        model="miniature-teacher",
        seed=202,
        steps=6_500,
        photo_steps=2_000,
        pictures=90_000,
        style_weights={"photo": 40, "sketch": 15, "noisy": 12, "night": 12, "mosaic": 11, "blurred": 10},
    ),
}


def _random_subject(recipe: Recipe, rng: np.random.Generator) -> Subject:
    styles, weights = zip(*recipe.style_weights.items(), strict=True)
    style = str(rng.choice(styles, p=np.array(weights) / sum(weights)))
    colour = str(rng.choice(list(COLOURS)))
    if rng.random() < recipe.pattern_share:
        style = "photo" if style == "sketch" else style  # a pattern has no outline
        return Subject(colour=colour, texture=str(rng.choice(list(PATTERNS))), style=style)
    texture = "plain" if style == "sketch" else str(rng.choice(FILLS))
    return Subject(colour=colour, texture=texture, shape=str(rng.choice(list(SHAPES))), style=style)


def _draw(recipe: Recipe, index: int) -> tuple[Subject, np.ndarray]:
    rng = np.random.default_rng([recipe.seed, index])
    subject = _random_subject(recipe, rng)
    return subject, np.asarray(draw(subject, rng))


def render(recipe: Recipe) -> tuple[list[Subject], Tensor]:
    """Draw all pictures of a recipe: their descriptions, and uint8 pixels (pictures, 3, 48, 48)."""
    subjects, pixels = [], np.empty((recipe.pictures, SIZE, SIZE, 3), dtype=np.uint8)
    bar = progress(recipe.pictures, f"{recipe.model}: drawing", "picture")
    with ProcessPoolExecutor(os.cpu_count()) as pool, bar as shown:
        drawn = pool.map(partial(_draw, recipe), range(recipe.pictures), chunksize=_CHUNK)
        for index, (subject, picture) in enumerate(drawn):
            subjects.append(subject)
            pixels[index] = picture
            shown.update()
    return subjects, torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


class CompactEmbedding(nn.Module):
    """A token embedding that holds only the rows of `token_ids`; any other token is an error."""

    def __init__(self, token_ids: list[int], width: int, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(token_ids), width) * 0.02)
        row_of_token = torch.full((vocabulary,), -1)
        row_of_token[token_ids] = torch.arange(len(token_ids))
        self.register_buffer("row_of_token", row_of_token, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings (..., width) of `tokens` (...)."""
        rows = self.row_of_token[tokens]
        if (rows < 0).any():
            raise ValueError("a caption holds a word outside the miniature vocabulary")
        return F.embedding(rows, self.weight)


def vocabulary(tokenizer) -> list[int]:
    """Token ids that captions, and OpenAI's 80 templates, can contain, in ascending order."""
    words = [*captions.FILLERS, *captions.templates(True), *captions.templates(False)]
    words += [*SHAPES, *COLOURS, *FILLS, *PATTERNS]
    sentences = [word.replace("{}", "star") for word in words]
    sentences += [word.replace("{}", "star.") for word in words] + ["star,", "a photo of a", "X"]
    sentences += ["of food flower pet aircraft doing person centered satellite type animal"]
    return sorted(set(tokenizer(sentences).flatten().tolist()))


def _encode_captions(model: nn.Module, tokens: Tensor) -> Tensor:
    """Normalised text features (captions, D); nothing runs behind the longest caption's end."""
    end = tokens.argmax(dim=1)
    length = int(end.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)[torch.arange(len(tokens)), end] @ model.text_projection
    return F.normalize(x, dim=-1)


def _random_crops(pixels: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """Normalised crops (batch, 3, size, size) of uint8 pixels; eight boxes a batch, some flipped."""
    crops = []
    for group in pixels.chunk(8):
        side = int(SIZE * np.sqrt(rng.uniform(0.45, 1.0)))
        top, left = rng.integers(0, SIZE - side + 1, 2)
        box = group[..., top : top + side, left : left + side].float()
        box = F.interpolate(box, (size, size), mode="bicubic", antialias=True)
        crops.append(box.flip(-1) if rng.random() < 0.5 else box)
    return _normalise(torch.cat(crops).clamp(0, 255))


def _normalise(pixels: Tensor) -> Tensor:
    open_clip = import_open_clip()
    return normalise(pixels, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)


def contrastive_loss(image_features: Tensor, text_features: Tensor, caption_of: Tensor) -> Tensor:
    """CLIP's loss for N images and M distinct captions; image i has caption `caption_of[i]`.

    Towards the images, the target of a caption is uniform over the images that it describes.
    `text_features` come scaled by the logit scale.
    """
    logits = image_features @ text_features.T
    member = F.one_hot(caption_of, len(text_features)).float()
    image_of_caption = member.T / member.sum(0)[:, None]
    return (F.cross_entropy(logits, caption_of) + F.cross_entropy(logits.T, image_of_caption)) / 2


class PictureBank:
    """All pictures of a recipe, drawn, and which of them a step may show."""

    def __init__(self, recipe: Recipe) -> None:
        self.subjects, self.pixels = render(recipe)
        self._pattern = np.array([subject.shape is None for subject in self.subjects])
        self._photo = np.array([subject.style == "photo" for subject in self.subjects])

    def choose(self, rng: np.random.Generator, count: int, *, pattern: bool, photos_only: bool) -> np.ndarray:
        """Numbers of `count` different pictures, of patterns or of shapes."""
        rows = np.flatnonzero((self._pattern == pattern) & (self._photo | (not photos_only)))
        return rng.choice(rows, count, replace=False)


def _step_loss(
    model: nn.Module, tokenizer, bank: PictureBank, recipe: Recipe, step: int, rng: np.random.Generator
) -> Tensor:
    """Loss of one batch: shapes against captions of two levels, patterns against one level."""
    patterns_in_batch = round(recipe.batch_size * recipe.pattern_share)
    photos_only = step < recipe.photo_steps
    shapes = bank.choose(rng, recipe.batch_size - patterns_in_batch, pattern=False, photos_only=photos_only)
    patterns = bank.choose(rng, patterns_in_batch, pattern=True, photos_only=photos_only)
    pixels = bank.pixels[np.concatenate([shapes, patterns])]
    features = model.encode_image(_random_crops(pixels, model.visual.image_size[0], rng), normalize=True)
    of_shapes, of_patterns = features.split([len(shapes), len(patterns)])
    groups = [
        (shapes, of_shapes, False, str(rng.choice(captions.SHAPE_LEVELS))),
        (shapes, of_shapes, False, str(rng.choice(captions.SHAPE_LEVELS))),
        (patterns, of_patterns, True, str(rng.choice(captions.PATTERN_LEVELS))),
    ]
    loss = torch.zeros(())
    for rows, image_features, pattern, level in groups:
        contents = [captions.content(bank.subjects[row], level) for row in rows]
        distinct = sorted(set(contents))
        template = captions.wording(rng, captions.templates(pattern))
        tokens = tokenizer([template.replace("{}", words) for words in distinct])
        text_features = model.logit_scale.exp() * _encode_captions(model, tokens)
        caption_of = torch.tensor([distinct.index(words) for words in contents])
        share = len(rows) / recipe.batch_size
        loss = loss + share * contrastive_loss(image_features, text_features, caption_of)
    return loss


def pretrain(recipe: Recipe) -> tuple[nn.Module, list[int], dict]:
    """Train one miniature CLIP; return the model, its token ids and the log of its training."""
    open_clip = import_open_clip()
    open_clip.add_model_config(MODELS)
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    bank = PictureBank(recipe)
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    model = open_clip.create_model(recipe.model, load_weights=False)
    token_ids = vocabulary(tokenizer)
    width = model.positional_embedding.shape[1]
    model.token_embedding = CompactEmbedding(token_ids, width, model.vocab_size)
    optimizer, schedule = _optimizer(model, recipe)
    started, losses = time.time(), []
    with progress(recipe.steps, f"{recipe.model}: training", "step") as bar:
        for step in range(recipe.steps):
            loss = _step_loss(model, tokenizer, bank, recipe, step, rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=float(np.log(100)))
            losses.append(loss.item())
            if step % 50 == 0:
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
            bar.update()
    log = {
        "recipe": asdict(recipe),
        "seconds": round(time.time() - started),
        "final_loss": float(np.mean(losses[-200:])),
        "zero_shot_accuracy": zero_shot_accuracies(model, tokenizer),
    }
    return model, token_ids, log


def _optimizer(model: nn.Module, recipe: Recipe):
    """AdamW without decay on vectors and embeddings; linear warm-up, then cosine to zero."""
    groups = [{"params": [], "weight_decay": recipe.weight_decay}, {"params": [], "weight_decay": 0.0}]
    for name, parameter in model.named_parameters():
        groups[parameter.ndim < 2 or "embedding" in name]["params"].append(parameter)
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98))

    def factor(step: int) -> float:
        if step < recipe.warmup:
            return (step + 1) / recipe.warmup
        return 0.5 * (1 + np.cos(np.pi * (step - recipe.warmup) / (recipe.steps - recipe.warmup)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


@torch.no_grad()
def zero_shot_accuracies(model: nn.Module, tokenizer, per_class: int = TEST // 2) -> dict[str, float]:
    """Percent of held-out pictures of each data set named rightly with "a photo of a {}."."""
    accuracies = {}
    size = model.visual.image_size[0]
    for name, dataset in DATASETS.items():
        template = "{} texture." if name == "mini_patterns" else "a photo of a {}."
        text = _encode_captions(model, tokenizer([template.format(c) for c in dataset.classes]))
        right = []
        for label, class_name in enumerate(dataset.classes):
            seeds = [(987, dataset.seed, label, index) for index in range(per_class)]
            pictures = np.stack([dataset.picture(class_name, *seed) for seed in seeds])
            pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
            pixels = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
            image = F.normalize(model.encode_image(_normalise(pixels.clamp(0, 255))), dim=-1)
            right += (image @ text.T).argmax(1).eq(label).tolist()
        accuracies[name] = round(100 * sum(right) / len(right), 1)
    return accuracies


def save(model: nn.Module, token_ids: list[int], log: dict, folder: Path) -> None:
    """Write `<model>.safetensors` (half precision, used token rows only) and its JSON card."""
    name = log["recipe"]["model"]
    tensors = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    tensors["token_ids"] = torch.tensor(token_ids, dtype=torch.int32)
    weights = folder / f"{name}.safetensors"
    with atomic(weights) as partial:
        save_file(tensors, partial)
    card = {
        "model": name,
        "command": f"promptdistill miniature pretrain {name.removeprefix('miniature-')}",
        "sha256": sha256(weights),
        **log,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    write_json(folder / f"{name}.card.json", card)
