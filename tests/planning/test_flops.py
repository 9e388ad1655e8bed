"""The counted operations are those that torch's own counter sees the towers do."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from promptdistill.clip.architecture import read_architecture
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.prompts import random_prompt
from promptdistill.clip.vision import encode_image
from promptdistill.compat import import_open_clip
from promptdistill.planning.flops import ImageTokens, image_flops, text_flops

MODEL = read_architecture("miniature-student")
NAMES = ["cat", "dog", "car"]  # one token each, and two more: the full stop and the end
# Prompts as (text tokens, vision tokens, depth), in the order in which they were learned.
CASCADES = [[(2, 3, 1)], [(2, 3, 2)], [(2, 2, 3), (2, 3, 1)], [(1, 4, 2), (3, 2, 3)]]


def counted(work):
    """Operations of `work`, by torch; its fused attention is not counted, so the plain one runs."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def clip_with(student, cascade):
    generator = torch.Generator().manual_seed(0)
    prompts = [
        random_prompt(student, generator, n_ctx_text=text, n_ctx_vision=vision, prompt_depth=depth)
        for text, vision, depth in cascade
    ]
    return PromptedClip(student, prompts)


@pytest.mark.parametrize("cascade", [[], *CASCADES])
def test_images(random_student, cascade):
    clip, pixels = clip_with(random_student, cascade), torch.randn(5, 3, *random_student.size)
    ours = image_flops(MODEL, [ImageTokens(vision, depth) for _, vision, depth in cascade]).times(5)
    assert counted(lambda: clip.image_features(pixels)) == ours.forward
    if cascade:
        assert counted(lambda: clip.image_features(pixels).sum().backward()) == ours.step


@pytest.mark.parametrize("name", ["RN50", "RN50x4"])
def test_images_through_a_resnet(name):
    """Without data; the second one differs from the first in width, blocks and pixels."""
    model, open_clip = read_architecture(name), import_open_clip()
    with torch.device("meta"):
        clip, pixels = open_clip.CLIP(**open_clip.get_model_config(name)), torch.empty(3, 3, *model.size)
    assert counted(lambda: encode_image(clip.eval(), pixels, [])) == image_flops(model).times(3).forward


@pytest.mark.parametrize("cascade", CASCADES)
def test_texts(random_student, cascade):
    clip = clip_with(random_student, cascade)
    ours = text_flops(MODEL, len(NAMES), prefix=1 + sum(text for text, _, _ in cascade), own=3)
    assert counted(lambda: clip.text_features(NAMES)) == ours.forward
    assert counted(lambda: clip.text_features(NAMES).sum().backward()) == ours.step


def test_texts_that_differ_from_image_to_image(random_student):
    """As CoCoOp's: so many times the texts of one image."""
    clip = clip_with(random_student, [(2, 0, 1)])
    blocks = [torch.randn(4, 2, random_student.text_width)]
    ours = text_flops(MODEL, len(NAMES), prefix=3, own=3).times(4)
    assert counted(lambda: clip.text_features(NAMES, blocks)) == ours.forward
