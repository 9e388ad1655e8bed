"""What a method puts into the two towers, read from its entry and hyper-parameters, and what that costs."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..config import MethodEntry
from ..errors import UserError
from ..experiment import Experiment
from ..protocols import PROTOCOLS
from ..run import split_method
from .architecture import Architecture
from .flops import Flops, ImageTokens, image_flops, text_flops

# A class's own tokens: its name, the full stop and the end.  Names have 2.2 on average in ImageNet, 1.5 to
# 2.5 in the other published data sets, but for Stanford Cars (8.5).
OWN_TOKENS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeCost:
    """The tokens of a cascade of prompts in both towers.

    `prefix` counts the text tokens before a class's own, the start token included; 0: no text is encoded.
    `texts` are those of each class.  `image` holds the prompts of the image tower, None where its features
    are looked up; `learns_on_images`: one of them is learned.  `conditional`: every image has text features
    of its own.  `compares`: every step also encodes its images without tokens.
    """

    prefix: int
    texts: int
    image: tuple[ImageTokens, ...] | None
    learns_on_images: bool
    conditional: bool
    compares: bool

    @classmethod
    def of(cls, method: str, entry: MethodEntry, values: dict[str, Any]) -> "ComputeCost":
        """A method alone: its tokens are `n_ctx_text` and `n_ctx_vision`, or `n_ctx` for both."""
        whole = partial(whole_number, method, values)
        both, encodes = whole("n_ctx", 0), entry.looks_up != "cascade"
        text, vision = whole("n_ctx_text", both), whole("n_ctx_vision", both) if encodes else 0
        words = len((values.get("ctx_init") or "").split())
        return cls(
            prefix=1 + max(text, words) if text else 0,
            texts=entry.costs.texts,
            image=((ImageTokens(vision, whole("prompt_depth", 1)),) if vision else ()) if encodes else None,
            learns_on_images=vision > 0,
            conditional=entry.costs.conditional,
            compares=entry.costs.compares,
        )

    def behind(self, frozen: "ComputeCost") -> "ComputeCost":
        """This prompt in a cascade behind a frozen one."""
        prefix = self.prefix and self.prefix + frozen.prefix - 1
        image = None if self.image is None else (*(frozen.image or ()), *self.image)
        return replace(self, prefix=prefix, image=image)

    @property
    def learns(self) -> bool:
        """Whether any of its tokens is known to be learned."""
        return self.prefix > 0 or self.learns_on_images

    def step(self, student: Architecture, classes: int, batch: int) -> float:
        """Operations of one training step of `batch` images or regions: forward and backward."""
        image = self._image(student).times(batch)
        plain = image_flops(student).times(batch).forward if self.compares else 0.0
        seen = image.step if self.learns_on_images else image.forward
        return seen + plain + self._text(student, classes, batch).step

    def image_test(self, student: Architecture, classes: int) -> float:
        """Operations of testing one image against so many classes, where its features are not looked up.

        Text features that all images share are left out: they are computed once.
        """
        image = self._image(student).forward
        return image + (self._text(student, classes, 1).forward if self.conditional else 0.0)

    def _image(self, student: Architecture) -> Flops:
        return Flops() if self.image is None else image_flops(student, self.image)

    def _text(self, student: Architecture, classes: int, batch: int) -> Flops:
        if not self.prefix:
            return Flops()
        sentences = text_flops(student, classes, self.prefix, OWN_TOKENS)
        return sentences.times(self.texts * (batch if self.conditional else 1))


def compute_cost(experiment: Experiment, method: str, dataset: str, protocol: str) -> ComputeCost:
    """What the towers carry where a method is trained: its tokens, and those that it is cascaded on."""
    values = experiment.hyperparameters(method, dataset, protocol)
    own = ComputeCost.of(method, experiment.method(method), values)
    if not split_method(method)[1]:
        return own
    return own.behind(compute_cost(experiment, "boosting", dataset, PROTOCOLS[protocol].boosting))


def whole_number(method: str, values: dict[str, Any], key: str, otherwise: int | None = None) -> int:
    """A whole number among hyper-parameters; UserError if it is none, or missing without an `otherwise`."""
    try:
        return int(values.get(key, otherwise))
    except (TypeError, ValueError):
        raise UserError(f"{method}: {key} is {values.get(key)!r}, but must be a whole number.") from None
