"""What a method puts into the two towers, read from its entry and hyper-parameters, and what that costs."""

from dataclasses import dataclass, replace
from typing import Any

from ..config import MethodEntry
from ..errors import UserError
from .architecture import Architecture
from .flops import Flops, ImageTokens, image_flops, text_flops

# A class's own tokens: its name, the full stop and the end.  Names have 2.2 on average in ImageNet, 1.5 to
# 2.5 in the other published data sets, but for Stanford Cars (8.5).
OWN_TOKENS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Learner:
    """The tokens of a cascade of prompts in both towers.

    `prefix` counts the text tokens before a class's own, the start token included; 0: no text is encoded.
    `conditional`: every image has text features of its own.  `compares`: every step also encodes its images
    without tokens.
    """

    prefix: int
    image: tuple[ImageTokens, ...]
    conditional: bool
    compares: bool

    @classmethod
    def of(cls, method: str, entry: MethodEntry, values: dict[str, Any]) -> "Learner":
        """A method alone.

        Its tokens are told by the names of its hyper-parameters: `text_context` and `vision_context`, or
        `context` for both; nothing learns in the image tower if all of its features are looked up.
        """

        def whole(key: str, otherwise: int = 0) -> int:
            return whole_number(method, values, key, otherwise)

        text = whole("text_context", whole("context"))
        vision = 0 if entry.looks_up == "cascade" else whole("vision_context", whole("context"))
        words = len((values.get("phrase") or "").split())
        return cls(
            prefix=1 + max(text, words) if text else 0,
            image=(ImageTokens(vision, whole("depth", 1)),) if vision else (),
            conditional=entry.conditional,
            compares="image_weight" in values and entry.looks_up is None,
        )

    def behind(self, frozen: "Learner") -> "Learner":
        """This prompt in a cascade behind a frozen one."""
        prefix = self.prefix and self.prefix + frozen.prefix - 1
        # A method without vision tokens looks up its image features, which a frozen prompt does not change.
        return replace(self, prefix=prefix, image=(*frozen.image, *self.image) if self.image else ())

    def step(self, student: Architecture, classes: int, batch: int) -> float:
        """Operations of one training step: forward and backward."""
        image = image_flops(student, self.image).times(batch).step if self.image else 0.0
        plain = image_flops(student).times(batch).forward if self.compares else 0.0
        return image + plain + self._text(student, classes, batch).step

    def image_test(self, student: Architecture, classes: int) -> float:
        """Operations of testing one image against so many classes, where its features are not looked up.

        Text features that all images share are left out: they are computed once.
        """
        image = image_flops(student, self.image).forward if self.image else 0.0
        return image + (self._text(student, classes, 1).forward if self.conditional else 0.0)

    def _text(self, student: Architecture, classes: int, batch: int) -> Flops:
        if not self.prefix:
            return Flops()
        sentences = text_flops(student, classes, self.prefix, OWN_TOKENS)
        return sentences.times(batch if self.conditional else 1)


def whole_number(method: str, values: dict[str, Any], key: str, otherwise: int | None = None) -> int:
    """A whole number among hyper-parameters; UserError if it is none, or missing without an `otherwise`."""
    try:
        return int(values.get(key, otherwise))
    except (TypeError, ValueError):
        raise UserError(f"{method}: {key} is {values.get(key)!r}, but must be a whole number.") from None
