"""The sentences that MaPLe's text tower reads."""

import pytest
import torch

from promptdistill.clip import prompted
from promptdistill.clip.prompts import random_prompt

NAMES = ["star", "ring_shape", "forget me not"]


@pytest.fixture
def read_sentences(monkeypatch):
    """All sentences that are tokenised for a prompted text tower, as they come."""
    seen = []
    tokenize = prompted.tokenize
    monkeypatch.setattr(prompted, "tokenize", lambda *a: seen.extend(a[1]) or tokenize(*a))
    return seen


def maple(published, backbone, name, frozen=()):
    values = published.hyperparameters(name, prompt_depth=2)
    return published.make(name, backbone, NAMES, values, frozen=list(frozen))


def test_alone_two_words_learn_and_two_stay(published, random_student, read_sentences):
    """Of the phrase "a photo of a"."""
    method = maple(published, random_student, "maple")
    method.class_features(NAMES)
    assert read_sentences == ["X X of a star.", "X X of a ring shape.", "X X of a forget me not."]
    tokens = random_student.tokenizer(["a photo"])[0, 1:3]
    assert torch.equal(method.prompt.text[0].detach(), random_student.model.token_embedding.weight[tokens])


def test_before_training_it_reads_the_whole_phrase(published, random_student):
    """At layer 0: with a depth of 1, the text tower sees "a photo of a star."."""
    values = published.hyperparameters("maple", prompt_depth=1)
    method = published.make("maple", random_student, NAMES, values)
    sentences = [f"a photo of a {name.replace('_', ' ')}." for name in NAMES]
    expected = random_student.model.encode_text(random_student.tokenizer(sentences), normalize=True)
    torch.testing.assert_close(method.class_features(NAMES), expected, atol=1e-5, rtol=0)


def test_in_a_cascade_no_word_stays(published, random_student, read_sentences):
    """8 random adapting tokens and 8 boosting tokens stand right before the class name."""
    generator = torch.Generator().manual_seed(1)
    frozen = random_prompt(random_student, generator, n_ctx_text=8, n_ctx_vision=8, prompt_depth=3)
    method = maple(published, random_student, "maple+caspl", [frozen.requires_grad_(False)])
    method.class_features(NAMES)
    context = " ".join(["X"] * 16)
    assert read_sentences == [f"{context} {name}." for name in ("star", "ring shape", "forget me not")]
    assert [tokens.shape[0] for tokens in method.prompt.text] == [8, 8]
    assert 0.018 < method.prompt.text[0].std() < 0.022  # random, and no words' embeddings
