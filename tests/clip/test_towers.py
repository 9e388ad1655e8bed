"""The prompted towers against open_clip's own encoders and against the plain twins."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plain.towers import image_features as plain_image
from plain.towers import text_features as plain_text
from promptdistill.clip.backbone import load_backbone
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.prompts import random_prompt
from promptdistill.clip.text import Sentences, encode_text, tokenize
from promptdistill.clip.vision import encode_image
from promptdistill.compat import import_open_clip
from promptdistill.config.models import BackboneConfig
from promptdistill.errors import UserError

open_clip = import_open_clip()
NAMES = ["star", "striped red star", "forget me not of the high northern mountains", "a", "Boeing 737-800"]


def random_blocks(shapes, width, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(context, width, generator=generator).mul(0.3).requires_grad_() for _ in range(depth)]
        for context, depth in shapes
    ]


def tokens_for(backbone, blocks, names=NAMES):
    context = sum(len(block[0]) for block in blocks)
    sentences = [" ".join(["X"] * context + [name + "."]) for name in names]
    return tokenize(backbone.tokenizer, sentences, backbone.model.context_length)


def encode(clip, tokens, blocks):
    return encode_text(clip, Sentences.from_tokens(clip, tokens), blocks)


def gradients(output, blocks):
    weight = torch.linspace(-1, 1, output.numel()).view_as(output)
    return torch.autograd.grad((output * weight).sum(), [t for block in blocks for t in block])


cascades = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=3)


@settings(max_examples=25)
@given(
    shapes=cascades, seed=st.integers(0, 99), names=st.lists(st.sampled_from(NAMES), min_size=1, unique=True)
)
def test_text_tower_equals_plain_twin(random_student, shapes, seed, names):
    """Shallow, deep and cascaded prompts of unequal depth, any number and length of names."""
    clip = random_student.model
    blocks = random_blocks(shapes, random_student.text_width, seed)
    tokens = tokens_for(random_student, blocks, names)
    ours, plain = (
        encode_text(clip, Sentences.from_tokens(clip, tokens), blocks),
        plain_text(clip, tokens, blocks),
    )
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    for mine, theirs in zip(gradients(ours, blocks), gradients(plain, blocks), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-4)


@settings(max_examples=25)
@given(shapes=cascades, seed=st.integers(0, 99), batch=st.integers(1, 3))
def test_image_tower_equals_plain_twin(random_student, shapes, seed, batch):
    clip = random_student.model
    blocks = random_blocks(shapes, random_student.vision_width, seed)
    pixels = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    ours, plain = encode_image(clip, pixels, blocks), plain_image(clip, pixels, blocks)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    for mine, theirs in zip(gradients(ours, blocks), gradients(plain, blocks), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-4)


@settings(max_examples=15)
@given(
    images=st.integers(1, 3),
    context=st.integers(1, 4),
    boosting=st.booleans(),
    seed=st.integers(0, 99),
    names=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
)
def test_contexts_that_differ_from_image_to_image(random_student, images, context, boosting, seed, names):
    """CoCoOp's: all images at once equal image by image, alone and before a frozen deep block."""
    clip, width = random_student.model, random_student.text_width
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(images, context, width, generator=generator).mul(0.3).requires_grad_()
    behind = random_blocks([(2, 3)], width, seed) if boosting else []
    tokens = tokens_for(random_student, [[first[0]], *behind], names)
    ours = encode(clip, tokens, [[first], *behind])
    plain = torch.stack([plain_text(clip, tokens, [[one], *behind]) for one in first])
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    mine, theirs = gradients(ours, [[first]])[0], gradients(plain, [[first]])[0]
    torch.testing.assert_close(mine, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-4)


@settings(max_examples=15)
@given(
    shapes=cascades,
    seed=st.integers(0, 99),
    layers=st.integers(1, 4),
    width=st.sampled_from([64, 128]),
    projection=st.booleans(),
)
def test_towers_of_other_shapes(shapes, seed, layers, width, projection):
    """Models of several depths and widths, with and without a bias in the text projection."""
    torch.manual_seed(seed)
    vision = {"layers": layers, "width": width, "head_width": 32, "patch_size": 8, "image_size": 24}
    text = {"layers": layers, "width": width, "heads": 2, "vocab_size": 49408}
    clip = open_clip.CLIP(48, vision, {**text, "proj_bias": projection}).eval().requires_grad_(False)
    shapes = [(context, min(depth, layers)) for context, depth in shapes]
    sentences = [" ".join(["X"] * sum(c for c, _ in shapes) + [name + "."]) for name in NAMES]
    tokens = tokenize(open_clip.get_tokenizer("ViT-B-16"), sentences, clip.context_length)
    pixels = torch.randn(2, 3, 24, 24)
    blocks = random_blocks(shapes, width, seed)
    pairs = [(encode(clip, tokens, blocks), plain_text(clip, tokens, blocks))]
    pairs.append((encode_image(clip, pixels, blocks), plain_image(clip, pixels, blocks)))
    for ours, plain in pairs:
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
        for mine, theirs in zip(gradients(ours, blocks), gradients(plain, blocks), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-4)


def test_empty_cascade_equals_open_clip(student):
    clip = PromptedClip(student, [])
    pixels = torch.randn(4, 3, 32, 32)
    tokens = student.tokenizer([name + "." for name in NAMES])
    expected_text = student.model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(clip.text_features(NAMES), expected_text, atol=1e-6, rtol=0)
    expected_image = student.model.encode_image(pixels, normalize=True)
    torch.testing.assert_close(clip.image_features(pixels), expected_image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", ["ViT-B-16-quickgelu", "ViT-L-14-quickgelu"])
def test_real_sizes(model):
    """One forward of each real architecture, random weights: equal to open_clip and to the twins."""
    backbone = load_backbone(BackboneConfig(model=model, pretrained="random"))
    clip, pixels = backbone.model, torch.randn(1, 3, 224, 224)
    prompt = random_prompt(
        backbone, torch.Generator().manual_seed(0), n_ctx_text=8, n_ctx_vision=8, prompt_depth=12
    )
    tokens = tokens_for(backbone, [prompt.text_block()], NAMES[:2])
    with torch.no_grad():
        plain = PromptedClip(backbone, [])
        own = clip.encode_image(pixels, normalize=True)
        torch.testing.assert_close(plain.image_features(pixels), own, atol=1e-6, rtol=0)
        own = clip.encode_text(backbone.tokenizer(["star."]), normalize=True)
        torch.testing.assert_close(plain.text_features(["star"]), own, atol=1e-6, rtol=0)
        blocks = [prompt.text_block()]
        ours, twin = (
            encode_text(clip, Sentences.from_tokens(clip, tokens), blocks),
            plain_text(clip, tokens, blocks),
        )
        torch.testing.assert_close(ours, twin, atol=1e-5, rtol=1e-5)
        blocks = [prompt.vision_block()]
        ours, twin = encode_image(clip, pixels, blocks), plain_image(clip, pixels, blocks)
        torch.testing.assert_close(ours, twin, atol=1e-5, rtol=1e-5)


def test_cascade_order(random_student):
    """Text: adapting before boosting; vision: boosting before adapting (CasPL)."""
    generator = torch.Generator().manual_seed(3)
    boosting, adapting = (
        random_prompt(random_student, generator, n_ctx_text=n, n_ctx_vision=n, prompt_depth=d)
        for n, d in ((3, 3), (2, 2))
    )
    clip = PromptedClip(random_student, [boosting, adapting])
    text = [adapting.text_block(), boosting.text_block()]
    plain = plain_text(random_student.model, tokens_for(random_student, text), text)
    expected = torch.nn.functional.normalize(plain, dim=-1)
    torch.testing.assert_close(clip.text_features(NAMES), expected, atol=1e-5, rtol=0)
    pixels = torch.randn(2, 3, 32, 32)
    plain = plain_image(random_student.model, pixels, [boosting.vision_block(), adapting.vision_block()])
    expected = torch.nn.functional.normalize(plain, dim=-1)
    torch.testing.assert_close(clip.image_features(pixels), expected, atol=1e-5, rtol=0)


def test_class_name_too_long(random_student):
    clip = PromptedClip(random_student, [])
    with pytest.raises(UserError, match="takes 92 tokens and the text tower holds 77: shorten"):
        clip.text_features(["star", "a " * 88 + "star"])


def test_vision_prompts_on_a_resnet_are_refused():
    backbone = load_backbone(BackboneConfig(model="RN50-quickgelu", pretrained="random"))
    with pytest.raises(UserError, match="takes no prompt tokens: use a text-only method"):
        random_prompt(backbone, torch.Generator(), n_ctx_text=4, n_ctx_vision=4, prompt_depth=1)
    pixels = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = backbone.model.encode_image(pixels, normalize=True)
        features = PromptedClip(backbone, []).image_features(pixels)
    torch.testing.assert_close(features, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("ViT-B-17", "random", "knows no model 'ViT-B-17' \\(did you mean ViT-B-1"),
        ("ViT-B-16", "nowhere", "has no weights 'nowhere': name a weights file, 'random', or one of openai"),
        ("ViT-B-16-SigLIP", "random", "no causal CLIP text tower"),
        ("ViT-B-16", "miniature", "use miniature-student or miniature-teacher"),
    ],
)
def test_unusable_models_are_refused(model, pretrained, message):
    with pytest.raises(UserError, match=message):
        load_backbone(BackboneConfig(model=model, pretrained=pretrained))


def test_depth_beyond_the_tower(random_student):
    with pytest.raises(UserError, match="depth 4 does not fit: the text tower has 3 layers"):
        random_prompt(random_student, torch.Generator(), n_ctx_text=1, n_ctx_vision=0, prompt_depth=4)
