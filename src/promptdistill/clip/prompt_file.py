"""Finished prompts on disk: safetensors with a JSON header that says what they are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..artifacts import KEY, SEAL, Inputs, Made, is_whole, sealed
from ..config.models import BackboneConfig, Precision, Regions
from ..errors import UserError
from ..files import atomic
from ..validation import Strict
from .backbone import Backbone
from .prompts import DeepPrompt


class Header(Strict):
    """What a prompt was learned from.  Two prompts with the same header are the same prompt.

    `sessions` holds the class names that each stretch of training knew, one list in most protocols.
    `regions` None: training saw whole images.  `inputs` are the files that it read.
    """

    phase: Literal["boosting", "adapting"]
    method: str  # with its suffix "+caspl"
    hyperparameters: dict
    dataset: str
    sessions: list[list[str]]
    template: str
    unlabelled: bool  # training saw all images and class names, and no label
    protocol: str | None = None
    shots: int | None = None
    seed: int
    student: BackboneConfig
    student_sha256: str
    regions: Regions | None
    precision: Precision
    threads: int
    versions: dict[str, str]
    made: Made | None = None
    inputs: Inputs

    @property
    def class_names(self) -> list[str]:
        """The classes that training knew in the end."""
        return self.sessions[-1]


def save_prompt(path: Path, learned: list[dict[str, Tensor]], header: Header) -> None:
    """Write a finished prompt, as it was after each session, atomically.

    The bytes depend on tensors and header alone.
    """
    tensors = {
        f"{_prefix(session, len(learned))}{name}": tensor.detach().cpu().contiguous()
        for session, own in enumerate(learned)
        for name, tensor in own.items()
    }
    about = sealed(header.model_dump(mode="json"), _content(tensors))
    with atomic(path) as partial:
        save_file(tensors, partial, metadata={KEY: json.dumps(about)})


def _content(tensors: dict[str, Tensor]) -> Iterator[bytes]:
    for name in sorted(tensors):
        yield f"{name} {list(tensors[name].shape)} ".encode() + tensors[name].numpy().tobytes()


def _prefix(session: int, sessions: int) -> str:
    """What stands before a tensor's name: nothing where there is one session."""
    return f"session{session}." if sessions > 1 else ""


def tensors_after(session: int, tensors: dict[str, Tensor], header: Header) -> dict[str, Tensor]:
    """A prompt's tensors as they were after a session."""
    prefix = _prefix(session, len(header.sessions))
    return {name.removeprefix(prefix): own for name, own in tensors.items() if name.startswith(prefix)}


def load_prompt(path: Path) -> tuple[dict[str, Tensor], Header]:
    """Read a finished prompt; UserError if the file is missing, damaged or something else."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if not is_whole(about, _content(tensors)):
            raise ValueError("changed since it was sealed")
        del about[SEAL]
        return tensors, Header.model_validate(about)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: train this prompt first.") from None
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError):
        raise UserError(
            f"{path} is not a prompt of this version, or is damaged: delete it and train again."
        ) from None


def require_student(header: Header, student: Backbone, path: Path) -> None:
    """UserError if the prompt was learned for other weights than those of `student`."""
    if header.student_sha256 != student.weights_sha256:
        raise UserError(
            f"{path} was learned for {header.student.model} ({header.student.pretrained}) with other weights "
            f"than {student.config.model} ({student.config.pretrained}) has now: train it again."
        )


def load_frozen(path: Path, student: Backbone) -> DeepPrompt:
    """Read a prompt of independent tokens, such as a boosting prompt, to put it, frozen, into a cascade."""
    tensors, header = load_prompt(path)
    require_student(header, student, path)

    def block(tower: str) -> list[Tensor]:
        return [tensors[f"{tower}.{layer}"] for layer in range(sum(n.startswith(tower) for n in tensors))]

    return DeepPrompt(block("text"), block("vision")).to(student.device).requires_grad_(False)
