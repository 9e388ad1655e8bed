"""Our methods must retrace recorded runs of the authors' own training code."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from PIL import Image

from promptdistill.clip.backbone import Backbone, weights_sha256
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.prompts import DeepPrompt
from promptdistill.clip.templates import template_features
from promptdistill.compat import import_open_clip
from promptdistill.config.models import BackboneConfig
from promptdistill.data.images import Region, normalise, region_pixels
from promptdistill.features.lookup import fkd_logits
from promptdistill.methods import make_method, parse_hyperparameters
from promptdistill.methods.base import Batch, MethodContext

open_clip = import_open_clip()

TRAINING = {"epochs": 20, "lr": 0.0025}
DEEP = {"n_ctx_text": 3, "n_ctx_vision": 3, "prompt_depth": 4}
FDBPL = {
    "region_scale": None,
    "confidence": "region",
    "negative_ctx_init": "a photo of no",
    "cosine_weight": 0.001,
    "hinge_weight": 0.0,
}
RUNS = {
    "coop": ("coop", 8, {"n_ctx": 4}),
    "ivlp": ("ivlp", 4, {"n_ctx_text": 4, "n_ctx_vision": 2, "prompt_depth": 3, "ctx_init": "a photo of a"}),
    "caspl_boosting": ("boosting", 4, DEEP),
    "caspl_promptsrc": ("promptsrc", 4, {**DEEP, "gpa_mean": 15, "gpa_std": 1}),
    "kdpl_vpt": ("vpt+kdpl", 4, {"n_ctx_vision": 3, "prompt_depth": 4}),
    "kdpl_coop_agnostic": (
        "coop+kdpl",
        8,
        {"n_ctx": 4, "ctx_init": "a photo of a", "vocabulary": "own", "k_max": 9},
    ),
    "fdbpl_coop": ("coop+fdbpl", 8, {"n_ctx": 4, "ctx_init": "a photo of a", "negative": True, **FDBPL}),
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
    if name == "negative":
        return "prompt_learner_generic.ctx"
    tower, layer = name.split(".")
    tail = "_FIRST" if boosting else ""
    if layer != "0":
        encoder = {"text": "text_encoder", "vision": "image_encoder"}[tower]
        return f"{encoder}.transformer.resblocks.{layer}.VPT_shallow{tail}"
    learner = "prompt_learner_teacher" if boosting else "prompt_learner"
    return {"text": f"{learner}.ctx", "vision": f"image_encoder.VPT{tail}"}[tower]


class OnlineTeacher:
    """Stands in for the lookup: the teacher's logits for the very pixels of the recorded batches."""

    def __init__(self, backbone, class_names, pixels, template="a photo of a {}, a type of flower."):
        self.clip = PromptedClip(backbone, [])
        self.text = template_features(self.clip, template, class_names)
        self.pixels = pixels

    def logits(self, images, regions, scale, top_k=None):
        features = self.clip.image_features(self.pixels[int(images[0])])
        return scale * features @ self.text.T


class RecordedAnswers:
    """Stands in for the lookup: the logits that the recorded run looked up."""

    def __init__(self, recorded):
        self.recorded = torch.from_numpy(recorded["labels"])

    def logits(self, images, regions, scale):
        return self.recorded[int(images[0])]


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
    names = [str(name) for name in recorded["vocabulary"]] if "vocabulary" in recorded else golden.CLASSES
    template = {"template": "a photo of a {}."} if "vocabulary" in recorded else {}
    teacher = OnlineTeacher(make_backbone(golden, 11), names, pixels, **template)
    if "labels" in recorded:
        teacher = RecordedAnswers(recorded)
    context = MethodContext(
        backbone=backbone,
        class_names=names,
        template="a photo of a {}.",
        config=config,
        generator=torch.Generator().manual_seed(0),
        frozen=frozen,
        teacher=teacher if boosting or "+" in name else None,
    )
    method = make_method(name, context)
    state = {
        key: torch.from_numpy(recorded["init/" + recorded_name(key, boosting)])
        for key in method.prompt.state_dict()
    }
    method.prompt.load_state_dict(state)
    learned = dict(method.prompt.named_parameters())
    if (negative := getattr(method.objective, "negative", None)) is not None:
        learned["negative"] = negative.text[0]
        initial = recorded["init/" + recorded_name("negative", boosting)]
        np.testing.assert_allclose(learned["negative"].detach().numpy(), initial, atol=1e-6)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.0025, momentum=0.9, weight_decay=5e-4)
    for step in range(golden.STEPS):
        images = torch.full((batch_size,), step)
        batch = Batch(pixels[step], labels[step], images, torch.zeros_like(images))
        if "kept" in recorded:
            assert method.objective.target(batch).kept == recorded["kept"][step].tolist()
        loss = method.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        assert float(loss.detach()) == pytest.approx(recorded["losses"][step], abs=1e-4)
        if step == 0:
            for key, parameter in learned.items():
                gradient = recorded["grad/" + recorded_name(key, boosting)]
                scale = np.abs(gradient).max()
                np.testing.assert_allclose(parameter.grad.numpy(), gradient, atol=1e-4 * scale)
        optimizer.step()
    for key, tensor in learned.items():
        final = recorded["final/" + recorded_name(key, boosting)]
        np.testing.assert_allclose(tensor.detach().numpy(), final, atol=1e-4)
    with torch.no_grad():
        logits = method.classifier(names)(method.clip.image_features(pixels[0]))
    np.testing.assert_allclose(logits.numpy(), recorded["logits"], atol=1e-3)


def test_the_recorded_lookup(golden, shared):
    """Crops, the teacher's scaled logits and FKD's filling of the writer and reader of FDBPL's files."""
    recorded = np.load(shared / "golden/fdbpl_lookup.npz")
    backbone, names = make_backbone(golden, 11), list(recorded["classes"])
    clip = PromptedClip(backbone, [])
    text = template_features(clip, "a photo of a {}.", names)
    torch.manual_seed(8)
    for number in range(4):
        picture = Image.fromarray(recorded[f"picture/{number}"])
        width, height = picture.size
        y, x, h, w = (recorded[f"coords/{number}"] * [height, width, height, width]).round().astype(int).T
        regions = [
            Region(*map(int, one)) for one in zip(x, y, w, h, recorded[f"flips/{number}"], strict=True)
        ]
        crops = torch.stack([region_pixels(picture, region, backbone.size) for region in regions])
        pixels = normalise(crops, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        read = torch.randperm(len(regions))[:2]
        np.testing.assert_array_equal(pixels[read].numpy(), recorded[f"read_pixels/{number}"])
        with torch.no_grad():
            logits = math.exp(4.6052) * clip.image_features(pixels) @ text.T
        classes, values = recorded[f"soft/{number}"].transpose(1, 0, 2)
        top = logits.topk(10)
        np.testing.assert_array_equal(top.indices.numpy(), classes)
        np.testing.assert_allclose(top.values.numpy(), values, atol=1e-4)
        dense = fkd_logits(logits, 10)[read]
        np.testing.assert_allclose(dense.numpy(), recorded[f"read_dense/{number}"], atol=1e-4)
