"""Our methods must retrace recorded runs of the authors' own training code."""

import importlib.util

import numpy as np
import pytest
import torch

from promptdistill.clip.backbone import Backbone, weights_sha256
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.prompts import DeepPrompt
from promptdistill.clip.templates import template_features
from promptdistill.compat import import_open_clip
from promptdistill.config.models import BackboneConfig
from promptdistill.methods import find_method, parse_hyperparameters
from promptdistill.methods.base import Batch, MethodContext

open_clip = import_open_clip()

TRAINING = {"epochs": 20, "lr": 0.0025}
DEEP = {"n_ctx_text": 3, "n_ctx_vision": 3, "prompt_depth": 4}
RUNS = {
    "coop": ("coop", 8, {"n_ctx": 4}),
    "ivlp": ("ivlp", 4, {"n_ctx_text": 4, "n_ctx_vision": 2, "prompt_depth": 3, "ctx_init": "a photo of a"}),
    "caspl_boosting": ("boosting", 4, DEEP),
    "caspl_promptsrc": ("promptsrc", 4, {**DEEP, "gpa_mean": 15, "gpa_std": 1}),
}


@pytest.fixture(scope="module")
def golden(shared):
    """The module that rebuilds the recorded runs' weights and batches."""
    spec = importlib.util.spec_from_file_location("golden_weights", shared / "golden/weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_backbone(golden, seed):
    vision, text = golden.V, golden.T
    model = open_clip.CLIP(
        golden.EMBED,
        open_clip.CLIPVisionCfg(
            layers=vision["layers"],
            width=vision["width"],
            patch_size=vision["patch"],
            image_size=vision["res"],
            head_width=64,
        ),
        open_clip.CLIPTextCfg(width=text["width"], layers=text["layers"], heads=2),
        quick_gelu=True,
    )
    model.load_state_dict(golden.make_state_dict(seed))
    model = model.eval().requires_grad_(False)
    return Backbone(
        config=BackboneConfig(model="golden", pretrained="golden"),
        model=model,
        tokenizer=open_clip.get_tokenizer("ViT-B-16"),
        preprocess=lambda image: image,
        size=(vision["res"], vision["res"]),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        weights_sha256=weights_sha256(model),
    )


def recorded_name(name, boosting):
    """The recorded name of "text.0", "vision.2", …"""
    tower, layer = name.split(".")
    tail = "_FIRST" if boosting else ""
    if layer != "0":
        encoder = {"text": "text_encoder", "vision": "image_encoder"}[tower]
        return f"{encoder}.transformer.resblocks.{layer}.VPT_shallow{tail}"
    learner = "prompt_learner_teacher" if boosting else "prompt_learner"
    return {"text": f"{learner}.ctx", "vision": f"image_encoder.VPT{tail}"}[tower]


class OnlineTeacher:
    """Stands in for the lookup: the teacher's logits for the very pixels of the recorded batches."""

    def __init__(self, backbone, class_names, pixels):
        self.clip = PromptedClip(backbone, [])
        self.text = template_features(self.clip, "a photo of a {}, a type of flower.", class_names)
        self.pixels = pixels

    def logits(self, images, regions, scale, top_k):
        features = self.clip.image_features(self.pixels[int(images[0])])
        return scale * features @ self.text.T


@pytest.mark.parametrize("run", RUNS)
def test_retraces_recorded_run(run, golden, shared):
    recorded = np.load(shared / f"golden/{run}.npz")
    name, batch_size, own = RUNS[run]
    config = parse_hyperparameters(name, {**TRAINING, "batch_size": batch_size, **own})
    pixels, labels = map(torch.from_numpy, golden.batches(run, batch_size))
    backbone = make_backbone(golden, golden.SEED)
    frozen = []
    if any(key.startswith("frozen/") for key in recorded):
        towers = {
            tower: [
                torch.from_numpy(recorded["frozen/" + recorded_name(f"{tower}.{layer}", True)])
                for layer in range(4)
            ]
            for tower in ("text", "vision")
        }
        frozen = [DeepPrompt(**towers).requires_grad_(False)]
    boosting = name == "boosting"
    context = MethodContext(
        backbone=backbone,
        class_names=golden.CLASSES,
        template="a photo of a {}.",
        config=config,
        generator=torch.Generator().manual_seed(0),
        frozen=frozen,
        teacher=OnlineTeacher(make_backbone(golden, 11), golden.CLASSES, pixels) if boosting else None,
    )
    method = find_method(name)(context)
    state = {
        key: torch.from_numpy(recorded["init/" + recorded_name(key, boosting)])
        for key in method.prompt.state_dict()
    }
    method.prompt.load_state_dict(state)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.0025, momentum=0.9, weight_decay=5e-4)
    for step in range(golden.STEPS):
        images = torch.full((batch_size,), step)
        loss = method.loss(Batch(pixels[step], labels[step], images, torch.zeros_like(images)))
        optimizer.zero_grad()
        loss.backward()
        assert float(loss.detach()) == pytest.approx(recorded["losses"][step], abs=1e-4)
        if step == 0:
            for key, parameter in method.prompt.named_parameters():
                gradient = recorded["grad/" + recorded_name(key, boosting)]
                scale = np.abs(gradient).max()
                np.testing.assert_allclose(parameter.grad.numpy(), gradient, atol=1e-4 * scale)
        optimizer.step()
    for key, tensor in method.prompt.state_dict().items():
        final = recorded["final/" + recorded_name(key, boosting)]
        np.testing.assert_allclose(tensor.numpy(), final, atol=1e-4)
    with torch.no_grad():
        logits = method.classifier(golden.CLASSES)(method.clip.image_features(pixels[0]))
    np.testing.assert_allclose(logits.numpy(), recorded["logits"], atol=1e-3)
