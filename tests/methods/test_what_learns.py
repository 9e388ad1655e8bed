"""What learns and what stays, of every method there is."""

import pkgutil
from pathlib import Path

import pytest
import torch

import promptdistill.methods
from promptdistill.clip.backbone import weights_sha256
from promptdistill.clip.prompts import random_prompt
from promptdistill.config.entries import load_method
from promptdistill.methods.base import Batch, Examples, FittedMethod
from promptdistill.run import is_cascaded

CONFIG_DIR = Path(__file__).parents[2] / "config"
METHODS = [m.name for m in pkgutil.iter_modules(promptdistill.methods.__path__) if m.name != "base"]
CASCADES = [f"{name}+caspl" for name in METHODS if load_method(name, CONFIG_DIR).with_boosting is not None]
NOTHING_LEARNS = {"zero_shot", "zero_shot_ensemble"}


def learn(method, pixels):
    """Two optimiser steps, or the whole fit."""
    if isinstance(method, FittedMethod):
        generator = torch.Generator().manual_seed(1)
        features = torch.rand(24, method.context.backbone.feature_dim, generator=generator)
        examples = Examples(features, torch.arange(24) % 4)
        method.fit(examples, examples)
        return
    batch = Batch(pixels, torch.tensor([0, 1, 3]), torch.tensor([0, 7, 20]), torch.tensor([0, 1, 1]))
    optimizer = torch.optim.SGD(method.parameters(), lr=0.002, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        optimizer.zero_grad()
        method.loss(batch).backward()
        optimizer.step()


def make(published, name, student, teacher_lookup):
    generator = torch.Generator().manual_seed(5)
    frozen = random_prompt(student, generator, n_ctx_text=2, n_ctx_vision=2, prompt_depth=3)
    return published.make(
        name,
        student,
        ["star", "ring", "heart", "moon"],
        published.hyperparameters(name, prompt_depth=2, templates=3),
        frozen=[frozen.requires_grad_(False)] if is_cascaded(name) else [],
        teacher=teacher_lookup,
        teacher_text=teacher_lookup.text,
    )


@pytest.mark.parametrize("name", METHODS + CASCADES)
def test_only_the_prompt_learns(published, student, teacher_lookup, name):
    method = make(published, name, student, teacher_lookup)
    assert all(key.startswith("prompt.") and p.requires_grad for key, p in method.named_parameters())
    assert not any(p.requires_grad for p in student.model.parameters())
    assert not student.model.training
    assert bool(list(method.parameters())) == (name not in NOTHING_LEARNS)
    if name in NOTHING_LEARNS:
        return
    before = {key: p.detach().clone() for key, p in method.named_parameters()}
    held = [{k: t.clone() for k, t in prompt.state_dict().items()} for prompt in method.context.frozen]
    learn(method, torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    assert weights_sha256(student.model) == student.weights_sha256
    assert all(p.grad is None for p in student.model.parameters())
    for prompt, tensors in zip(method.context.frozen, held, strict=True):
        assert all(torch.equal(tensor, tensors[key]) for key, tensor in prompt.state_dict().items())
        assert all(p.grad is None for p in prompt.parameters())
    still = [key for key, p in method.named_parameters() if torch.equal(p, before[key])]
    assert not still, f"these never learned: {still}"
    assert all(torch.isfinite(p).all() for p in method.parameters())
