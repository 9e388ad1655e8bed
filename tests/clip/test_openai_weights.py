"""OpenAI's weights need QuickGELU, whatever the configuration of the architecture says."""

import pytest
import torch
from safetensors.torch import save_file

from promptdistill.clip.backbone import load_backbone
from promptdistill.compat import import_open_clip
from promptdistill.config.models import BackboneConfig


@pytest.fixture
def cached_weights(tmp_path, monkeypatch):
    """A hub cache that holds random weights under the name of OpenAI's ViT-B/32."""
    import huggingface_hub.constants

    model = import_open_clip().create_model("ViT-B-32", load_weights=False)
    folder = tmp_path / "models--timm--vit_base_patch32_clip_224.openai"
    (folder / "snapshots/abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("abc")
    save_file(model.state_dict(), folder / "snapshots/abc/open_clip_model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return model


def test_openai_weights_get_quick_gelu(cached_weights):
    backbone = load_backbone(BackboneConfig(model="ViT-B-32", pretrained="openai"))
    for tower in (backbone.model.transformer, backbone.model.visual.transformer):
        assert {type(block.mlp.gelu).__name__ for block in tower.resblocks} == {"QuickGELU"}
    for name, tensor in backbone.model.state_dict().items():
        assert torch.equal(tensor, cached_weights.state_dict()[name]), name
