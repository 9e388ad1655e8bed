"""Shapes of models, read without loading them."""

import subprocess
import sys

import pytest

from promptdistill.clip.architecture import read_architecture
from promptdistill.clip.backbone import load_backbone
from promptdistill.config.models import BackboneConfig
from promptdistill.errors import UserError


@pytest.mark.parametrize("name", ["miniature-student", "miniature-teacher", "ViT-B-32"])
def test_the_shape_is_the_loaded_models(name):
    loaded = load_backbone(BackboneConfig(model=name, pretrained="random"))
    model, visual = read_architecture(name), loaded.model.visual
    assert (model.image.width, model.image.layers) == (loaded.vision_width, loaded.vision_layers)
    assert (model.text.width, model.text.layers) == (loaded.text_width, loaded.text_layers)
    assert (model.dim, model.size) == (loaded.feature_dim, loaded.size)
    assert model.image.patches + 1 == len(visual.positional_embedding)
    assert model.image.patch_pixels == visual.conv1.kernel_size[0] * visual.conv1.kernel_size[1]
    assert model.image.hidden == visual.transformer.resblocks[0].mlp.c_fc.out_features
    assert model.text.hidden == loaded.model.transformer.resblocks[0].mlp.c_fc.out_features


@pytest.mark.parametrize(("name", "blocks"), [("RN50", (3, 4, 6, 3)), ("convnext_base", None)])
def test_a_tower_that_is_no_vit(name, blocks):
    model = read_architecture(name)
    assert model.image is None
    assert (model.resnet.blocks if model.resnet else None) == blocks
    assert model.size == (224, 224)


def test_an_unknown_model_is_refused_as_where_it_is_loaded():
    with pytest.raises(UserError) as planned:
        read_architecture("ViT-B-17")
    with pytest.raises(UserError) as loaded:
        load_backbone(BackboneConfig(model="ViT-B-17", pretrained="openai"))
    assert str(planned.value) == str(loaded.value)


def test_a_text_tower_of_another_kind():
    with pytest.raises(UserError, match="has no causal CLIP text tower"):
        read_architecture("roberta-ViT-B-32")


def test_planning_imports_no_torch():
    code = "import sys, promptdistill.planning.show; print({'torch', 'open_clip'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
