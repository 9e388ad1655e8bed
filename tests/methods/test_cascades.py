"""Where the tokens of a cascade stand, shown by words whose order open_clip itself can read.

tests/clip compares cascades of random tokens with the plain towers.
"""

import torch

from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.prompts import DeepPrompt, phrase_embedding, random_prompt

NAMES = ["star", "ring_shape", "heart"]


def words(backbone, phrase):
    return DeepPrompt([phrase_embedding(backbone, phrase, len(phrase.split()))], [])


def test_text_order(random_student):
    """Start, adapting, boosting, class: adapting "a photo" on boosting "of the" reads "a photo of the"."""
    boosting, adapting = words(random_student, "of the"), words(random_student, "a photo")
    features = PromptedClip(random_student, [boosting, adapting]).text_features(NAMES)
    sentences = [f"a photo of the {name.replace('_', ' ')}." for name in NAMES]
    expected = random_student.model.encode_text(random_student.tokenizer(sentences), normalize=True)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)
    other = PromptedClip(random_student, [adapting, boosting]).text_features(NAMES)
    assert (features - other).abs().max() > 1e-3


def test_tokens_behind_the_patches_have_no_order(random_student):
    """They get no position, so boosting before or behind adapting is the same, at any depth."""
    generator = torch.Generator().manual_seed(4)
    deep, shallow = (
        random_prompt(random_student, generator, n_ctx_text=0, n_ctx_vision=n, prompt_depth=d)
        for n, d in ((2, 3), (3, 2))
    )
    pixels = torch.randn(2, 3, 32, 32, generator=generator)
    one = PromptedClip(random_student, [deep, shallow]).image_features(pixels)
    other = PromptedClip(random_student, [shallow, deep]).image_features(pixels)
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    alone = PromptedClip(random_student, [deep]).image_features(pixels)
    assert (one - alone).abs().max() > 1e-4
