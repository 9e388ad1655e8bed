"""Captions of the miniature world: what is said of a picture, and in how many words.

Web captions put the subject anywhere in a sentence.  A prompt does the same to a class name: it
stands behind 4, 8 or 24 context tokens.  So captions here carry random filler words in front and
behind, and the subject is met at every position up to about 30.
"""

import numpy as np

from ..clip.templates import openai_templates
from .pictures import Subject

FILLERS = (
    "today we went out and saw this at the old market near my home it was very nice so i took one more "
    "look what do you think about new best free shop sale buy online picture image photo view detail from "
    "our trip last summer with friends in city park for kids by hand made design set number page click "
    "here to see all items size small large good day time year week morning"
).split()

# Captions of a shape may name it alone or together with its colour and texture.
SHAPE_LEVELS = ("{shape}", "{colour} {shape}", "{texture} {shape}", "{texture} {colour} {shape}")
PATTERN_LEVELS = ("{texture}", "{colour} {texture}")

_OWN_TEMPLATES = [
    *("{}", "{}.", "a {}", "the {}", "a photo of a {}.", "a photo of a {}, a type of drawing."),
    *("a picture of a {}.", "this is a {}", "one {} on a background", "there is a {} here"),
]
_PATTERN_TEMPLATES = [
    *("{}", "{} texture.", "{} pattern.", "a {} surface", "a photo of a {} texture.", "a photo of a {}."),
    *("a {} pattern on cloth", "this looks {}"),
]


def templates(pattern: bool) -> list[str]:
    """Caption templates with one `{}`; those of shapes include OpenAI's 80 for ImageNet."""
    if pattern:
        return _PATTERN_TEMPLATES
    return _OWN_TEMPLATES * 4 + openai_templates()


def content(subject: Subject, level: str) -> str:
    """The words of `level` for this subject, such as "striped red star"."""
    return level.format(shape=subject.shape, colour=subject.colour, texture=subject.texture)


def wording(rng: np.random.Generator, templates: list[str]) -> str:
    """A random template, half of the time with up to 24 filler words in front and 6 behind."""
    template = templates[rng.integers(len(templates))]
    if rng.random() < 0.5:
        return template
    before = rng.choice(FILLERS, rng.integers(0, 25))
    behind = rng.choice(FILLERS, rng.integers(0, 7))
    return " ".join([*before, template, *behind])
