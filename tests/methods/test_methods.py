"""Losses against hand-written references, and what each method learns."""

import math

import pytest
import torch

from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.templates import openai_templates
from promptdistill.compat import import_open_clip
from promptdistill.methods import find_method, parse_hyperparameters
from promptdistill.methods.base import Batch, MethodContext
from promptdistill.methods.boosting import distillation_loss
from promptdistill.methods.promptsrc import gaussian_weights

NAMES = ["star", "ring_shape", "heart"]
COMMON = {"epochs": 3, "batch_size": 4, "lr": 0.05}
DEEP = {**COMMON, "n_ctx_text": 4, "n_ctx_vision": 2, "prompt_depth": 2}


def make(name, backbone, **values):
    context = MethodContext(
        backbone=backbone,
        class_names=NAMES,
        template="a photo of a {}.",
        config=parse_hyperparameters(name, values),
        generator=torch.Generator().manual_seed(0),
    )
    return find_method(name)(context)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(4, 3, 32, 32, generator=generator)
    return Batch(pixels, torch.tensor([0, 1, 2, 1]), torch.arange(4), torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize(
    ("name", "values", "tokens"),
    [
        ("coop", {**COMMON, "n_ctx": 16}, (16, 0)),
        ("ivlp", DEEP, (8, 4)),
        ("promptsrc", {**DEEP, "gpa_mean": 2, "gpa_std": 1}, (8, 4)),
        ("boosting", DEEP, (8, 4)),
        ("kgcoop", {**COMMON, "n_ctx": 4}, (4, 0)),
        ("lasp", {**COMMON, "n_ctx": 4, "templates": 5, "weight": 20}, (4, 0)),
        ("zero_shot", {}, (0, 0)),
        ("zero_shot_ensemble", {}, (0, 0)),
    ],
)
def test_number_of_learning_parameters(random_student, name, values, tokens):
    """Text tokens times d_t plus vision tokens times d_v, and nothing else."""
    learning = sum(p.numel() for p in make(name, random_student, **values).parameters())
    assert learning == tokens[0] * random_student.text_width + tokens[1] * random_student.vision_width


def test_initial_phrase(random_student):
    """ "a photo of a" starts from the embeddings of its words."""
    prompt = make("ivlp", random_student, **DEEP, ctx_init="a photo of a").prompt
    tokens = random_student.tokenizer(["a photo of a"])[0, 1:5]
    expected = random_student.model.token_embedding.weight[tokens]
    assert torch.equal(prompt.text[0].detach(), expected)


def test_initial_phrase_of_another_length(random_student):
    from promptdistill.errors import UserError

    with pytest.raises(UserError, match="'a photo of' has 3 tokens, but the context has 4"):
        make("ivlp", random_student, **DEEP, ctx_init="a photo of")


def test_promptsrc_loss(random_student, batch):
    """Each term written out with plain open_clip calls."""
    method = make("promptsrc", random_student, **DEEP, gpa_mean=2, gpa_std=1)
    clip, tokenizer = random_student.model, random_student.tokenizer
    with torch.no_grad():
        per_template = [
            clip.encode_text(tokenizer([template(name.replace("_", " ")) for name in NAMES]))
            for template in import_open_clip().OPENAI_IMAGENET_TEMPLATES[:60]
        ]
        frozen_text = torch.nn.functional.normalize(torch.stack(per_template).mean(0), dim=-1)
        frozen_image = clip.encode_image(batch.pixels, normalize=True)
        text = method.clip.text_features(NAMES)
        image = method.clip.image_features(batch.pixels)
        scale = clip.logit_scale.exp()
        p = (scale * image @ text.T).log_softmax(1)
        q = (scale * frozen_image @ frozen_text.T).log_softmax(1)
        expected = -p[torch.arange(4), batch.labels].mean()
        expected = expected + 25 * (text - frozen_text).abs().mean()
        expected = expected + 10 * (image - frozen_image).abs().mean()
        expected = expected + (q.exp() * (q - p)).sum() / 12
        torch.testing.assert_close(method.loss(batch), expected, atol=1e-5, rtol=1e-5)


def test_kgcoop_loss(random_student, batch):
    """Cross-entropy, and 8 times the mean squared distance from the template's features."""
    method = make("kgcoop", random_student, **COMMON, n_ctx=4)
    clip, tokenizer = random_student.model, random_student.tokenizer
    sentences = ["a photo of a star.", "a photo of a ring shape.", "a photo of a heart."]
    with torch.no_grad():
        template = clip.encode_text(tokenizer(sentences), normalize=True)
        text = method.clip.text_features(NAMES)
        image = clip.encode_image(batch.pixels, normalize=True)
        p = (clip.logit_scale.exp() * image @ text.T).log_softmax(1)
        expected = -p[torch.arange(4), batch.labels].mean()
        expected = expected + 8 * ((text - template) ** 2).sum() / 3
        torch.testing.assert_close(method.loss(batch), expected, atol=1e-5, rtol=1e-5)


def test_lasp_loss(random_student, batch):
    """Cross-entropy, and that of each class's learned text among each template's texts."""
    method = make("lasp", random_student, **COMMON, n_ctx=4, templates=3, weight=2)
    plain = PromptedClip(random_student, [])
    scale = random_student.logit_scale
    with torch.no_grad():
        text = method.clip.text_features(NAMES)
        image = random_student.model.encode_image(batch.pixels, normalize=True)
        p = (scale * image @ text.T).log_softmax(1)
        expected = -p[torch.arange(4), batch.labels].mean()
        terms = []
        for template in openai_templates()[:3]:
            written = plain.sentence_features([template.format(n.replace("_", " ")) for n in NAMES])
            for label in range(3):
                terms.append(-(scale * written @ text[label]).log_softmax(0)[label])
        expected = expected + 2 * torch.stack(terms).mean()
        torch.testing.assert_close(method.loss(batch), expected, atol=1e-5, rtol=1e-5)


def test_number_of_learning_parameters_of_nets_and_maps(random_student):
    """CoCoOp: two linear layers d -> d/16 -> d_t.  MaPLe: a map d_t -> d_v a layer."""
    d, d_t, d_v = random_student.feature_dim, random_student.text_width, random_student.vision_width
    cocoop = make("cocoop", random_student, **COMMON, n_ctx=4, ctx_init="a photo of a")
    hidden = d // 16
    expected = 4 * d_t + (d * hidden + hidden) + (hidden * d_t + d_t)
    assert sum(p.numel() for p in cocoop.parameters()) == expected
    maple = make("maple", random_student, **COMMON, n_ctx=2, prompt_depth=3, ctx_init="a photo of a")
    assert sum(p.numel() for p in maple.parameters()) == 3 * (2 * d_t + d_t * d_v + d_v)
    assert maple.prompt.fixed_words == "of a"


def test_promptsrc_average(random_student):
    """GPA: the weighted sum of the prompts after each epoch."""
    method = make("promptsrc", random_student, **DEEP, gpa_mean=2, gpa_std=1)
    raw = [math.exp(-((epoch - 2) ** 2) / 2) for epoch in (1, 2, 3)]
    expected = {name: torch.zeros_like(tensor) for name, tensor in method.prompt.state_dict().items()}
    for epoch in range(3):
        for name, parameter in method.prompt.named_parameters():
            parameter.data.add_(0.1 * (epoch + 1))
            expected[name] += raw[epoch] / sum(raw) * parameter.data
        method.finish_epoch(epoch)
    for name, tensor in method.final_tensors().items():
        torch.testing.assert_close(tensor, expected[name])


def test_gaussian_weights():
    weights = gaussian_weights(20, 15, 1)
    assert sum(weights) == pytest.approx(1)
    assert weights.index(max(weights)) == 14  # epoch 15, counted from 1
    assert weights[13] == pytest.approx(weights[15])


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distillation_loss(temperature):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 7, generator=generator) * 4 for _ in range(2))
    p, q = (teacher / temperature).softmax(1), (student / temperature).softmax(1)
    expected = (p * (p / q).log()).sum(1).mean() * temperature**2
    torch.testing.assert_close(distillation_loss(student, teacher, temperature), expected)


def test_zero_shot_rows(random_student):
    """The template of the data set; and 80 templates, each normalised before the average."""
    clip, tokenizer = random_student.model, random_student.tokenizer
    template = make("zero_shot", random_student).class_features(NAMES)
    tokens = tokenizer(["a photo of a star.", "a photo of a ring shape.", "a photo of a heart."])
    torch.testing.assert_close(template, clip.encode_text(tokens, normalize=True), atol=1e-6, rtol=0)
    templates = openai_templates()
    assert len(templates) == 80
    ensemble = make("zero_shot_ensemble", random_student).class_features(NAMES)
    plain = PromptedClip(random_student, [])
    each = [plain.sentence_features([t.format(n.replace("_", " ")) for n in NAMES]) for t in templates]
    expected = torch.nn.functional.normalize(torch.stack(each).mean(0), dim=-1)
    torch.testing.assert_close(ensemble, expected, atol=1e-6, rtol=0)
