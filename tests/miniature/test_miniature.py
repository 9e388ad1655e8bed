"""The miniature world: pictures, data sets, captions, pretraining and the shipped models."""

import json
import runpy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from promptdistill.clip.backbone import load_backbone
from promptdistill.config.entries import load_dataset
from promptdistill.config.models import BackboneConfig
from promptdistill.data.published import read_published
from promptdistill.data.splits import check_files
from promptdistill.files import sha256
from promptdistill.miniature import MODELS, captions, datasets, pretrain
from promptdistill.miniature.pictures import COLOURS, PATTERNS, SHAPES, STYLES, Subject, draw

subjects = st.builds(
    Subject,
    colour=st.sampled_from(list(COLOURS)),
    texture=st.sampled_from(list(PATTERNS)),
    shape=st.sampled_from([None, *SHAPES]),
    style=st.sampled_from(STYLES),
)


@given(subject=subjects, seed=st.integers(0, 999))
def test_pictures_are_functions_of_subject_and_seed(subject, seed):
    first, again, other = (
        np.asarray(draw(subject, np.random.default_rng(number))) for number in (seed, seed, seed + 1)
    )
    assert first.shape == (48, 48, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.std() > 1


@pytest.mark.parametrize("name", ["mini_night", "mini_shapes_sketch"])
def test_data_sets_have_the_published_layout(name, tmp_path, request):
    datasets.write(name, tmp_path)
    entry = load_dataset(name, request.config.rootpath / "config")
    split = read_published(entry, tmp_path)
    check_files(split, tmp_path / entry.images)
    assert len(split.labels) == entry.classes >= 10
    assert {part: len(getattr(split, part)) for part in ("train", "val", "test")} == entry.sizes
    paths = [item.path for part in (split.train, split.val, split.test) for item in part]
    assert len(set(paths)) == len(paths)
    first = (tmp_path / entry.images / paths[0]).read_bytes()
    datasets.write(name, tmp_path)
    assert (tmp_path / entry.images / paths[0]).read_bytes() == first


def test_variants_share_the_classes_of_their_source():
    source = datasets.DATASETS["mini_shapes"].classes
    variants = [name for name in datasets.DATASETS if name.startswith("mini_shapes_")]
    assert len(variants) == 3
    assert all(list(datasets.DATASETS[name].classes) == list(source) for name in variants)


def test_captions_put_the_subject_at_every_position():
    rng = np.random.default_rng(0)
    templates = captions.templates(pattern=False)
    before = {captions.wording(rng, templates).split("{}")[0].count(" ") for _ in range(3000)}
    assert set(range(26)) <= before


@pytest.mark.parametrize("model", ["student", "teacher"])
def test_shipped_models_are_those_of_their_cards(model):
    card = json.loads((MODELS / f"miniature-{model}.card.json").read_text())
    assert card["sha256"] == sha256(MODELS / f"miniature-{model}.safetensors")
    recipe = pretrain.RECIPES[model]
    assert card["recipe"] == json.loads(json.dumps(pretrain.asdict(recipe)))


@pytest.mark.parametrize("model", ["student", "teacher"])
def test_cards_state_what_the_models_do(model):
    """The card's zero-shot accuracies, measured again through the ordinary loader."""
    backbone = load_backbone(BackboneConfig(model=f"miniature-{model}", pretrained="miniature"))
    card = json.loads((MODELS / f"miniature-{model}.card.json").read_text())
    measured = pretrain.zero_shot_accuracies(backbone.model, backbone.tokenizer)
    assert measured == pytest.approx(card["zero_shot_accuracy"], abs=1.0)  # half precision


def test_pretraining_is_reproducible(tmp_path):
    recipe = replace(
        pretrain.RECIPES["student"], steps=2, photo_steps=1, pictures=700, batch_size=40, threads=1
    )
    for name in ("a", "b"):
        pretrain.save(*pretrain.pretrain(recipe), tmp_path / name)
    file = "miniature-student.safetensors"
    assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    torch.set_num_threads(1)


@given(seed=st.integers(0, 99), images=st.integers(2, 9))
def test_contrastive_loss_of_distinct_captions_is_that_of_clip(seed, images):
    generator = torch.Generator().manual_seed(seed)
    image, text = (F.normalize(torch.randn(images, 5, generator=generator), dim=1) for _ in range(2))
    caption_of = torch.randperm(images, generator=generator)
    logits = image @ (10 * text[caption_of]).T
    labels = torch.arange(images)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    torch.testing.assert_close(pretrain.contrastive_loss(image, 10 * text, caption_of), expected)


def test_contrastive_loss_with_repeated_captions():
    """Encoding a repeated caption once equals CLIP's loss towards soft targets over its images."""
    generator = torch.Generator().manual_seed(0)
    image = F.normalize(torch.randn(4, 5, generator=generator), dim=1)
    text = F.normalize(torch.randn(2, 5, generator=generator), dim=1)
    caption_of = torch.tensor([0, 1, 0, 0])
    logits = image @ text.T
    by_image = -logits.log_softmax(1)[torch.arange(4), caption_of].mean()
    columns = logits.T.log_softmax(1)
    by_text = -(columns[0, [0, 2, 3]].mean() + columns[1, 1]) / 2
    expected = (by_image + by_text) / 2
    torch.testing.assert_close(pretrain.contrastive_loss(image, text, caption_of), expected)


def test_the_picture_of_the_page(tmp_path, request):
    """Drawn again, it is the same."""
    docs = request.config.rootpath / "docs"
    runpy.run_path(str(docs / "draw_pictures.py"))["main"](str(tmp_path / "sheet.png"))
    with Image.open(tmp_path / "sheet.png") as drawn, Image.open(docs / "miniature.png") as shown:
        assert drawn.tobytes() == shown.tobytes()
