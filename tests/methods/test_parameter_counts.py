"""How many numbers each method learns at ViT-B/16, with the published hyper-parameters."""

import pytest
import torch

from promptdistill.clip.backbone import load_backbone
from promptdistill.clip.prompts import random_prompt
from promptdistill.config.models import BackboneConfig
from promptdistill.run import family, is_cascaded
from promptdistill.validation import known_names

NAMES = ["star", "ring_shape", "heart", "moon", "sun"]
D_T, D_V, D = 512, 768, 512  # widths of ViT-B/16: text tower, image tower, features
TEACHER = 768  # feature width of ViT-L/14

META_NET = (D * (D // 16) + D // 16) + ((D // 16) * D_T + D_T)
COUPLING = D_T * D_V + D_V  # a linear map with its bias, one a layer
PROJECTION = (D * TEACHER + TEACHER) + 2 * TEACHER + (TEACHER * TEACHER + TEACHER)
FORMULAS = {
    "coop": 16 * D_T,
    "cocoop": 4 * D_T + META_NET,
    "maple": 9 * (2 * D_T + COUPLING),
    "ivlp": 9 * 4 * (D_T + D_V),
    "promptsrc": 9 * 4 * (D_T + D_V),
    "promptkd_teacher": 9 * 4 * (D_T + D_V),
    "kgcoop": 4 * D_T,
    "lasp": 4 * D_T,
    "vpt": 12 * 8 * D_V,
    "boosting": 8 * D_T * 12 + 8 * D_V * 12,
    "promptkd": 4 * D_V * 9 + PROJECTION,
    "fdbpl": 9 * 4 * (2 * D_T + D_V),
    "linear_probe": len(NAMES) * (D + 1),
    "zero_shot": 0,
    "zero_shot_ensemble": 0,
    "coop+caspl": 8 * D_T,
    "cocoop+caspl": 8 * D_T + META_NET,
    "maple+caspl": 12 * (8 * D_T + COUPLING),
    "ivlp+caspl": 12 * 8 * (D_T + D_V),
    "promptsrc+caspl": 12 * 8 * (D_T + D_V),
    "kgcoop+caspl": 8 * D_T,
    "lasp+caspl": 8 * D_T,
    "fdbpl+caspl": 12 * 8 * (2 * D_T + D_V),
}
TRANSFER = {
    "boosting": 4 * D_T + 4 * D_V,
    "maple": 3 * (2 * D_T + COUPLING),
    "promptsrc": 3 * 4 * (D_T + D_V),
    "fdbpl": 3 * 4 * (2 * D_T + D_V),
    "promptkd": 4 * D_V * 3 + PROJECTION,
}
PAPERS = {"coop": 8_192, "cocoop": 35_360, "maple": 3_555_072, "ivlp": 46_080, "promptsrc": 46_080}


@pytest.fixture(scope="module")
def vit_b_16():
    return load_backbone(BackboneConfig(model="ViT-B-16", pretrained="random"))


@pytest.fixture(scope="module")
def boosting(vit_b_16):
    generator = torch.Generator().manual_seed(0)
    prompt = random_prompt(vit_b_16, generator, n_ctx_text=8, n_ctx_vision=8, prompt_depth=12)
    return prompt.requires_grad_(False)


def learning_numbers(published, name, backbone, boosting, training="base_to_novel"):
    values = published.hyperparameters(name, training)
    parts = {"frozen": [boosting]} if is_cascaded(name) else {}
    if name == "promptkd":
        parts["teacher_text"] = torch.zeros(len(NAMES), TEACHER)
    method = published.make(name, backbone, NAMES, values, **parts)
    return sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("name", FORMULAS)
def test_base_to_novel(published, vit_b_16, boosting, name):
    assert learning_numbers(published, name, vit_b_16, boosting) == FORMULAS[name]


@pytest.mark.parametrize("name", TRANSFER)
def test_transfer(published, vit_b_16, boosting, name):
    assert learning_numbers(published, name, vit_b_16, boosting, "transfer") == TRANSFER[name]


@pytest.mark.parametrize("name", PAPERS)
def test_formulas_give_the_numbers_of_the_papers(name):
    assert FORMULAS[name] == PAPERS[name]


def test_every_method_has_a_formula(published):
    assert {family(name) for name in FORMULAS} == set(known_names(published.config_dir / "methods"))
