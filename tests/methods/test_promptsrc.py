"""PromptSRC's average over the epochs of a real training."""

import json
import math
from dataclasses import replace

import pytest
import torch

import trainings
from promptdistill.clip.prompt_file import load_prompt
from promptdistill.config.models import Regions
from promptdistill.methods.promptsrc import PromptSRC


@pytest.fixture
def after_epochs(monkeypatch):
    """The prompts' tensors right after each epoch of a training, in order."""
    seen = []
    finish = PromptSRC.finish_epoch

    def record(method, epoch):
        assert epoch == len(seen)
        seen.append({key: p.detach().clone() for key, p in method.prompt.named_parameters()})
        finish(method, epoch)

    monkeypatch.setattr(PromptSRC, "finish_epoch", record)
    return seen


@pytest.mark.parametrize(("mean", "std"), [(3, 1), (2, 10)])
def test_average_of_four_epochs(published, inputs, tmp_path, after_epochs, mean, std):
    """The finished prompt is sum_e w_e · P_e with w a Gaussian over the epochs 1 … 4, summing to 1."""
    inputs = replace(inputs, regions=Regions(count=4))
    output = tmp_path / "prompt.safetensors"
    values = published.hyperparameters(
        "promptsrc", prompt_depth=2, epochs=4, lr=0.05, gpa_mean=mean, gpa_std=std, ctx_init=None
    )
    trainings.adapt(inputs, [trainings.few_shot_run(inputs, output)], "promptsrc", values)
    assert [row["epoch"] for row in json.loads(output.with_suffix(".history.json").read_text())["rows"]] == [
        0,
        1,
        2,
        3,
    ]

    heights = [math.exp(-((epoch - mean) ** 2) / (2 * std**2)) for epoch in (1, 2, 3, 4)]
    tensors, _ = load_prompt(output)
    assert set(tensors) == set(after_epochs[0]) == {"text.0", "text.1", "vision.0", "vision.1"}
    for key, tensor in tensors.items():
        epochs = torch.stack([prompt[key] for prompt in after_epochs])
        weights = torch.tensor(heights) / sum(heights)
        expected = (weights[:, None, None] * epochs).sum(dim=0)
        torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=0)
        assert (tensor - epochs[-1]).abs().max() > 1e-4  # no epoch alone is the average
        assert (tensor - epochs.mean(dim=0)).abs().max() > 1e-5
