"""KDPL and FDBPL on every method that takes them, against plain twins written from their formulas."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.prompts import random_prompt
from promptdistill.config.entries import load_method
from promptdistill.errors import UserError
from promptdistill.features.lookup import FILLINGS
from promptdistill.methods import find_method, find_plugin
from promptdistill.methods.base import Batch
from promptdistill.plugins.fdbpl import confidence, hinge
from promptdistill.plugins.kdpl import both_ways
from promptdistill.validation import known_names

NAMES = ["star", "ring", "heart", "moon"]
BASES = ["coop", "cocoop", "vpt", "maple", "promptsrc", "kgcoop", "ivlp"]
PLUGINS = ["kdpl", "fdbpl"]
BATCH = (torch.tensor([0, 1, 3]), torch.tensor([0, 7, 20]), torch.tensor([0, 1, 1]))


def logits(rows, classes, seed, scale=5.0):
    return scale * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def batch():
    return Batch(torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)), *BATCH)


@pytest.fixture
def make(published, student, teacher_lookup):
    """A method with its plug-in, as config/plugins says, with a few hyper-parameters of one's own."""

    def make(name, class_names=NAMES, teacher=teacher_lookup, **own):
        frozen = random_prompt(
            student, torch.Generator().manual_seed(5), n_ctx_text=2, n_ctx_vision=2, prompt_depth=3
        )
        return published.make(
            name,
            student,
            class_names,
            published.hyperparameters(name, **{"prompt_depth": 2, **own}),
            frozen=[frozen.requires_grad_(False)] if "+caspl" in name else [],
            teacher=teacher,
        )

    return make


def test_what_takes_plugins(published):
    entries = {
        name: load_method(name, published.config_dir)
        for name in known_names(published.config_dir / "methods")
    }
    assert sorted(name for name, entry in entries.items() if entry.takes_plugins) == sorted(BASES)
    for name, entry in entries.items():
        if not entry.takes_plugins:
            why = "it learns nothing" if entry.learns_from == "nothing" else "its loss is its own"
            with pytest.raises(UserError, match=rf"{name} takes no plug-in, since {why}"):
                load_method(f"{name}+kdpl", published.config_dir)


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("base", BASES)
def test_hyperparameters_of_both_have_names_of_their_own(base, plugin):
    own, theirs = (kind.Config.model_fields for kind in (find_method(base), find_plugin(plugin)))
    assert not own.keys() & theirs.keys()


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("cascaded", ["", "+caspl"], ids=["alone", "cascaded"])
@pytest.mark.parametrize("base", BASES)
def test_a_plugin_teaches_the_logits_and_nothing_else(make, batch, base, cascaded, plugin):
    """The loss with a plug-in, less the loss with labels, is what the plug-in says less cross-entropy."""
    method = make(f"{base}{cascaded}+{plugin}")
    labelled = make(base + cascaded, **method.context.config.model_dump())
    labelled.prompt.load_state_dict(method.prompt.state_dict())
    image = method.image_features(batch)
    own = method.classifier(NAMES)(image)
    taught = method.objective(own, image, method.objective.target(batch)) - F.cross_entropy(own, batch.labels)
    assert (method.loss(batch) - labelled.loss(batch)).item() == pytest.approx(taught.item(), abs=1e-4)
    others = batch._replace(labels=3 - batch.labels)
    assert torch.equal(method.loss(others), method.loss(batch))
    method.loss(batch).backward()
    learned = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None}
    assert learned == ({"prompt", "objective"} if (base, plugin) == ("coop", "fdbpl") else {"prompt"})
    assert set(method.final_tensors()) == set(labelled.final_tensors())


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("base", BASES)
def test_of_a_vocabulary_a_batch_keeps_the_likeliest_names(make, batch, base, plugin):
    """The loss is that of a training which knows these names alone."""
    agnostic = make(f"{base}+{plugin}", vocabulary="own", k_max=3)
    teacher, scale = agnostic.context.teacher, agnostic.context.backbone.logit_scale
    mean = teacher.logits(batch.images, batch.regions, scale).softmax(1).mean(0)
    kept = sorted(range(len(NAMES)), key=lambda number: -mean[number])[:3]
    assert agnostic.objective.target(batch).kept == sorted(kept)
    answers = SimpleNamespace(logits=lambda *asked: teacher.logits(*asked)[:, sorted(kept)])
    few = make(f"{base}+{plugin}", class_names=[NAMES[number] for number in sorted(kept)], teacher=answers)
    few.load_state_dict(agnostic.state_dict())
    torch.testing.assert_close(agnostic.loss(batch), few.loss(batch), atol=1e-5, rtol=1e-5)


def test_kdpl_is_the_mean_of_both_divergences():
    student, teacher = logits(6, 5, 0).requires_grad_(), logits(6, 5, 1)
    log_q, log_p = student.log_softmax(1), teacher.log_softmax(1)
    plain = 0.5 * (
        F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
        + F.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
    )
    torch.testing.assert_close(both_ways(student, teacher).mean(), plain)
    ours, theirs = (
        torch.autograd.grad(loss, student)[0] for loss in (both_ways(student, teacher).mean(), plain)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@given(classes=st.integers(1, 40), seed=st.integers(0, 99), scale=st.sampled_from([0.0, 0.1, 5.0, 1000.0]))
def test_confidence_lies_between_a_guess_and_certainty(classes, seed, scale):
    sure = confidence(logits(3, classes, seed, scale))
    assert ((sure > -1e-4) & (sure < 1 + 1e-4)).all()
    if classes > 1 and scale == 0:
        torch.testing.assert_close(sure, torch.zeros(3), atol=1e-4, rtol=0)
    certain = 1e6 * F.one_hot(torch.arange(3) % classes, classes)
    torch.testing.assert_close(confidence(certain), torch.ones(3), atol=1e-4, rtol=0)


def plain_fdbpl(method, batch, weight):
    """The formula of the published code, a region and a class at a time."""
    scale, lookup = method.context.backbone.logit_scale, method.context.teacher
    image = method.image_features(batch)
    positive = scale * image @ method.clip.text_features(NAMES).T
    negative_clip = PromptedClip(method.context.backbone, [*method.context.frozen, method.objective.negative])
    negative = scale * image @ negative_clip.text_features(NAMES).T
    total = 0.0
    for row, (image_number, region) in enumerate(zip(batch.images, batch.regions, strict=True)):
        z = lookup.logits(image_number[None], region[None], scale)[0]
        p, q, n = z.softmax(0), positive[row].softmax(0), negative[row].softmax(0)
        w = 1 + sum(one * math.log(one + 1e-6) for one in p.tolist()) / math.log(len(NAMES))
        forward, reverse = (p * (p.log() - q.log())).sum(), (q * (q.log() - p.log())).sum()
        total = total + w * 0.5 * (forward + reverse)
        total = total + (1 - w) * (n * n.log()).sum()
        s, t = positive[row], negative[row]
        total = total + 0.001 * w * (s @ t) / (s.norm() * t.norm())
    return total / len(batch.images) + weight * second_order(method, negative_clip)


def second_order(method, negative_clip):
    """The published sum over ordered pairs of classes of mean(D_i - D_j)."""
    own = method.clip.text_features(NAMES) - negative_clip.text_features(NAMES)
    classes = range(len(NAMES))
    return sum((own[i] - own[j]).mean() for i in classes for j in classes if i != j)


@pytest.mark.parametrize("name", ["coop+fdbpl", "coop+caspl+fdbpl"])
def test_fdbpl_is_the_published_formula(make, batch, name):
    """The published second-order term among it, which is zero: each pair of classes cancels itself."""
    method = make(name)
    parameters = [*method.prompt.parameters(), *method.objective.negative.parameters()]
    ours = method.loss(batch)
    for weight in (0.0, 0.1):
        theirs = plain_fdbpl(method, batch, weight)
        assert ours.item() == pytest.approx(theirs.item(), abs=1e-4)
        for a, b in zip(
            torch.autograd.grad(method.loss(batch), parameters),
            torch.autograd.grad(theirs, parameters),
            strict=True,
        ):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_the_second_order_as_published_is_zero_and_pulls_nowhere(make):
    method = make("coop+fdbpl")
    clip = PromptedClip(method.context.backbone, [method.objective.negative])
    value = second_order(method, clip)
    assert value.abs() < 1e-6
    parameters = [*method.prompt.parameters(), *method.objective.negative.parameters()]
    assert all(gradient.abs().max() < 1e-6 for gradient in torch.autograd.grad(value, parameters))


@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 99))
def test_the_hinge_orders_two_regions(rows, classes, seed):
    difference, sure = logits(rows, classes, seed, 0.3), logits(1, rows, seed + 2)[0].sigmoid()
    top = logits(rows, classes, seed + 1).argmax(1)
    plain = 0.0
    for i in range(rows):
        for j in range(rows):
            a, b = int(top[i]), int(top[j])
            if a < b:
                of_first, of_second = (difference[r, a] - difference[r, b] for r in (i, j))
                plain += sure[i] * sure[j] * max(0.0, float(of_second - of_first) + 0.2)
    torch.testing.assert_close(hinge(difference, top, sure), torch.as_tensor(plain), atol=1e-5, rtol=1e-5)


def test_switches_of_fdbpl(make, batch):
    """Weighted by region, by batch, not at all; the hinge needs a second text."""
    method = {
        kind: make("coop+fdbpl", confidence=kind, negative=False) for kind in ("region", "batch", "off")
    }
    image = method["off"].image_features(batch)
    own = method["off"].classifier(NAMES)(image)
    teacher = method["off"].objective.target(batch).answers
    each, sure = both_ways(own, teacher), confidence(teacher)
    expected = {"region": (sure * each).mean(), "batch": sure.mean() * each.mean(), "off": each.mean()}
    for kind, value in expected.items():
        assert method[kind].loss(batch).item() == pytest.approx(value.item(), abs=1e-5)
    assert make("coop+fdbpl", hinge_weight=0.1).loss(batch) > make("coop+fdbpl").loss(batch)
    with pytest.raises(UserError, match="hinge_weight needs a negative text"):
        make("coop+fdbpl", negative=False, hinge_weight=0.1)


@given(classes=st.integers(2, 12), k=st.integers(1, 12), seed=st.integers(0, 99))
def test_fillings_keep_the_greatest(classes, k, seed):
    full = logits(3, classes, seed, 2.0)
    kept = full.topk(min(k, classes), dim=1).indices
    for name, fill in FILLINGS.items():
        filled = fill(full, k)
        assert torch.equal(filled.gather(1, kept), full.gather(1, kept))
        others = torch.ones_like(full, dtype=torch.bool).scatter(1, kept, False)
        if k >= classes:
            assert torch.equal(filled, full)
            continue
        rest = filled[others].view(3, -1)
        torch.testing.assert_close(rest, rest[:, :1].expand_as(rest))
        if name == "even_mass":
            torch.testing.assert_close(filled.softmax(1).gather(1, kept), full.softmax(1).gather(1, kept))
        elif name == "fkd_logits":
            torch.testing.assert_close(rest[:, 0], (1 - full.gather(1, kept).sum(1)) / (classes - k))
        else:
            assert filled.softmax(1)[others].max() <= 1e-6
