"""FDBPL: each part of its loss written out region by region and class by class."""

import math

import pytest
import torch
from torch.nn.functional import softplus

from promptdistill.errors import UserError
from promptdistill.features.lookup import LookupSubset
from promptdistill.methods import fdbpl, parse_hyperparameters
from promptdistill.methods.base import Batch, distillation_loss

NAMES = ["star", "ring", "heart", "moon"]
THRESHOLD = 0.99  # between the top probabilities of the batch's regions
WEIGHTS = ("label", "positive", "negative", "difference", "intra", "inter")


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(4, 3, generator=generator) * 3 for _ in range(3)]


@pytest.fixture
def make(published, student, teacher_lookup):
    def method(**own):
        values = published.hyperparameters("fdbpl", prompt_depth=2)
        return published.make("fdbpl", student, NAMES, {**values, **own}, teacher=teacher_lookup)

    return method


@pytest.fixture
def batch():
    """Two regions of each of two images."""
    pixels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return Batch(pixels, torch.tensor([0, 0, 3, 3]), torch.tensor([0, 0, 20, 20]), torch.tensor([0, 1, 0, 1]))


def smooth_l1(value):
    return 0.5 * value**2 if abs(value) < 1 else abs(value) - 0.5


def relative(student, teacher):
    """Smooth L1 of two lists of numbers, each divided by its mean absolute value."""
    mean = [sum(abs(x) for x in numbers) / len(numbers) for numbers in (student, teacher)]
    pairs = zip(student, teacher, strict=True)
    return sum(smooth_l1(s / mean[0] - t / mean[1]) for s, t in pairs) / len(student)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_distance(logits, temperature):
    student, teacher, _ = logits
    chosen = torch.tensor([True, False, True, True])
    terms = []
    for s, t in zip(student, teacher, strict=True):
        p, q = (t / temperature).softmax(0), (s / temperature).softmax(0)
        terms.append(temperature**2 * sum(p[c] * math.log(p[c] / q[c]) for c in range(3)))
    every = distillation_loss(student, teacher, temperature)
    assert float(every) == pytest.approx(float(sum(terms)) / 4, rel=1e-5)
    some = distillation_loss(student, teacher, temperature, chosen)
    assert float(some) == pytest.approx(float(terms[0] + terms[2] + terms[3]) / 3, rel=1e-5)
    assert float(distillation_loss(student, teacher, temperature, torch.zeros(4, dtype=torch.bool))) == 0


def test_rejection(logits):
    positive, negative, teacher = logits
    chosen = torch.tensor([True, False, False, True])
    total = 0.0
    for region in (0, 3):
        p = teacher[region].softmax(0)
        for c in range(3):
            x = negative[region, c] - positive[region, c]
            total += float((1 - p[c]) * softplus(-x) + p[c] * softplus(x)) / 3
    assert float(fdbpl.rejection(positive, negative, teacher, 1.0, chosen)) == pytest.approx(
        total / 2, rel=1e-5
    )


def test_second_order_differences(logits):
    difference, teacher, _ = logits
    images = torch.tensor([5, 7, 5, 5])
    pairs = [(0, 2), (0, 3), (2, 3)]
    student, target = (
        [float(x[a, c] - x[b, c]) for a, b in pairs for c in range(3)] for x in (difference, teacher)
    )
    assert float(fdbpl.intra_class(difference, teacher, images)) == pytest.approx(
        relative(student, target), rel=1e-4
    )
    student, target = (
        [float(x[r, a] - x[r, b]) for r in range(4) for a, b in ((0, 1), (0, 2), (1, 2))]
        for x in (difference, teacher)
    )
    assert float(fdbpl.inter_class(difference, teacher)) == pytest.approx(relative(student, target), rel=1e-4)


def test_no_pairs_no_second_order(logits):
    difference, teacher, _ = logits
    assert float(fdbpl.intra_class(difference, teacher, torch.arange(4))) == 0
    assert float(fdbpl.inter_class(difference[:, :1], teacher[:, :1])) == 0


def test_the_loss_is_the_weighted_sum_of_its_parts(make, batch):
    """Each weight alone, and all together; a weight of 0 switches a part off."""
    method = make(threshold=THRESHOLD)
    scale = method.context.backbone.logit_scale
    informative = method.informative(method.context.teacher.logits(batch.images, batch.regions, scale))
    assert 0 < int(informative.sum()) < len(informative)  # both kinds take part
    alone = []
    for chosen in WEIGHTS:
        weights = {f"{name}_weight": float(name == chosen) for name in WEIGHTS}
        alone.append(make(threshold=THRESHOLD, **weights).loss(batch).item())
    assert len(set(alone)) == len(WEIGHTS)
    weights = {f"{name}_weight": 1.0 + n for n, name in enumerate(WEIGHTS)}
    together = make(threshold=THRESHOLD, **weights).loss(batch)
    assert together.item() == pytest.approx(sum((1 + n) * value for n, value in enumerate(alone)), rel=1e-4)


def test_what_is_informative(make, teacher_lookup, student):
    """All but a share of the training regions, by top probability or entropy; all if it is switched off."""
    everything = teacher_lookup.logits(*teacher_lookup.every_region(), student.logit_scale)
    probabilities = everything.softmax(1)
    for how, score in (
        ("top", probabilities.max(1).values),
        ("entropy", -torch.special.entr(probabilities).sum(1)),
    ):
        for share in (0.0, 0.25, 0.5):
            informative = make(informative_by=how, uninformative=share).informative(everything)
            assert int((~informative).sum()) == pytest.approx(share * len(everything), abs=1)
            if share:
                assert score[informative].min() >= score[~informative].max()
    assert make(threshold=0.0).informative(everything).all()
    assert not make(threshold=1.1).informative(everything).any()
    assert make(region_aware=False, threshold=1.1).informative(everything).all()


@pytest.mark.parametrize("how", ["top", "entropy"])
def test_top_k_leaves_what_is_informative(make, batch, how):
    """Labels of informative regions are all that the loss depends on here."""
    weights = {f"{name}_weight": float(name == "label") for name in WEIGHTS}
    own = {"informative_by": how, "uninformative": 0.5, **weights}
    losses = [make(top_k=top_k, **own).loss(batch).item() for top_k in (None, 1)]
    assert losses[0] == losses[1] != make(**own, region_aware=False).loss(batch).item()


def test_inference(make, student):
    """By the difference of both similarities, or the positive one alone; two text passes."""
    generator = torch.Generator().manual_seed(2)
    image = torch.nn.functional.normalize(torch.randn(3, student.feature_dim, generator=generator), dim=1)
    method = make(inference="difference")
    positive, negative = method.text_pair(NAMES)
    assert not torch.allclose(positive, negative, atol=1e-3)
    scale = student.logit_scale
    both = scale * (image @ positive.T) - scale * (image @ negative.T)
    torch.testing.assert_close(method.classifier(NAMES)(image), both, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        make(inference="positive").classifier(NAMES)(image), scale * image @ positive.T, atol=1e-4, rtol=0
    )


def test_without_vision_tokens(make, batch):
    """The image tower stays as it is, and only texts learn."""
    method = make(n_ctx_vision=0)
    torch.testing.assert_close(method.image_features(batch), method.plain_image_features(batch))
    method.loss(batch).backward()
    assert {name.split(".")[0] for name, _ in method.prompt.named_parameters()} == {"text", "negative"}
    assert all(tensor.grad.abs().sum() > 0 for tensor in method.prompt.parameters())


def test_rejection_moves_the_negative_texts_alone(make, batch):
    weights = {f"{name}_weight": float(name == "negative") for name in WEIGHTS}
    method = make(threshold=2.0, n_ctx_vision=0, **weights)  # no region is informative
    method.loss(batch).backward()
    assert all(tensor.grad is None or not tensor.grad.any() for tensor in method.prompt.text)
    assert all(tensor.grad.any() for tensor in method.prompt.negative)


def test_initial_texts(make, student):
    """ "a photo of a" and "a photo without a"."""
    prompt = make().prompt
    for block, phrase in ((prompt.text, "a photo of a"), (prompt.negative, "a photo without a")):
        tokens = student.tokenizer([phrase])[0, 1:5]
        assert torch.equal(block[0].detach(), student.model.token_embedding.weight[tokens])


def test_answers_for_some_images_and_classes(teacher_lookup, student):
    some = LookupSubset(teacher_lookup, torch.tensor([7, 0, 23]), 1, teacher_lookup.text[[3, 1]])
    images, regions = torch.tensor([2, 0, 1]), torch.tensor([0, 1, 1])
    expected = teacher_lookup.logits(torch.tensor([23, 7, 0]), regions, student.logit_scale)[:, [3, 1]]
    torch.testing.assert_close(some.logits(images, regions, student.logit_scale), expected)
    images, regions = some.every_region()
    assert list(zip(images.tolist(), regions.tolist(), strict=True)) == [(image, 0) for image in range(3)]


def test_a_loss_of_nothing_is_refused(published):
    values = published.hyperparameters("fdbpl", **{f"{name}_weight": 0.0 for name in WEIGHTS})
    with pytest.raises(UserError, match="one of the weights of the loss must be above 0"):
        parse_hyperparameters("fdbpl", values)
    alone = {**values, "intra_weight": 1.0}
    parse_hyperparameters("fdbpl", alone)
    for single in ({"regions_per_image": 1}, {"regions": 1}):
        with pytest.raises(UserError, match="intra_weight alone needs two regions"):
            parse_hyperparameters("fdbpl", {**alone, **single})
