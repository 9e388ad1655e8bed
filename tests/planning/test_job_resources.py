"""Memory and time by the size of a model, against the sizes that the models are known to have."""

import pytest

from promptdistill.config.models import BackboneConfig
from promptdistill.planning import job_resources


def backbone(model):
    return BackboneConfig(model=model, pretrained="openai")


@pytest.mark.parametrize(
    ("model", "millions"),
    [("ViT-B-32", 151), ("ViT-B-16", 150), ("ViT-B-16-quickgelu", 150), ("ViT-L-14", 428)],
)
def test_parameters_are_about_the_published_numbers(model, millions):
    assert job_resources.parameters(model) == pytest.approx(millions * 1e6, rel=0.03)


def test_an_image_costs_about_the_published_arithmetic():
    """17.6 against 81.1 thousand million multiplications."""
    ratio = job_resources.image_work("ViT-L-14") / job_resources.image_work("ViT-B-16")
    assert ratio == pytest.approx(81.1 / 17.6, rel=0.05)


def test_a_larger_model_asks_for_more():
    models = ["miniature-student", "ViT-B-32", "ViT-B-16", "ViT-L-14"]
    times = [job_resources.minutes(backbone(model), 12) for model in models]
    assert times == sorted(times)
    assert times[0] < 30
    memory = [job_resources.memory_mb(backbone(model)) for model in models]
    assert memory[0] < 3000
    assert memory[2] == 16000
    assert 2 * memory[2] < memory[3] < 3 * memory[2]


@pytest.mark.parametrize("model", ["RN50", "hf-hub:someone/something"])
def test_what_is_no_plain_vit_counts_as_the_reference(model):
    assert job_resources.memory_mb(backbone(model)) == 16000
