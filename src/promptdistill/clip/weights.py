"""Tensors of a weights file: safetensors, a state dict saved by torch, or a TorchScript archive as OpenAI's.

Nothing of a file is executed: pickled objects are read by torch's weights-only reader, which makes tensors
and containers alone, and the code of an archive is left out.
"""

import io
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from ..errors import UserError

# Under which training code keeps a state dict, beside an optimizer's state and the like.
_NESTED = ("state_dict", "model")

_NOT_WEIGHTS = "not the weights of a model: save its state dict, tensors by name, and name that file."

# What OpenAI's archives hold beside weights.
_SIZES = {"input_resolution", "context_length", "vocab_size"}


# Of an archive: what a state dict consists of, too, beside data/0, data/1, …
_READ = ("data.pkl", "byteorder", "version", ".data/version")


_PICKLES = 5  # of torch's old form: a number, a version, the system, the objects, the names of their data
_LONGEST_NAME = 1000


class Weights(NamedTuple):
    """Tensors by name; `quick_gelu`: they are of OpenAI's code, which computes with QuickGELU."""

    tensors: dict[str, Tensor]
    quick_gelu: bool


def read_weights(path: Path) -> Weights:
    """Read a weights file; UserError if it is damaged, or holds anything but the weights of a model."""
    content = _read(path)
    for key in _NESTED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, {_NOT_WEIGHTS}")
    odd = [key for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if odd or not content:
        what = f"holds more than tensors by name, such as {odd[0]!r}" if odd else "is empty"
        raise UserError(f"{path} {what}, {_NOT_WEIGHTS}")
    prefix = "module." if all(name.startswith("module.") for name in content) else ""
    tensors = {name.removeprefix(prefix): value for name, value in content.items()}
    sizes = _SIZES & tensors.keys()
    return Weights({name: own for name, own in tensors.items() if name not in sizes}, sizes == _SIZES)


def _read(path: Path) -> object:
    """What a file holds, by what it begins with."""
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
        if path.suffix == ".safetensors" or head[8:] == b"{":  # behind the length of a header
            return load_file(path)
        if head.startswith(b"PK") and (tensors := _tensors_of_archive(path)) is not None:
            return tensors
        if not head.startswith(b"PK"):
            _require_short_names(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}): get it again.") from None
    except Exception as error:  # what a damaged or foreign file makes torch raise is not documented
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"{path} is damaged, or is not a file of weights ({reason}): get it again, or save the model's "
            "state dict as safetensors."
        ) from None


def _require_short_names(path: Path) -> None:
    """ValueError for a file of torch's old form with a name so long that torch's message takes minutes."""
    with path.open("rb") as stream:
        for _ in range(_PICKLES):
            for _, argument, _ in pickletools.genops(stream):  # which makes no object
                if isinstance(argument, str) and len(argument) > _LONGEST_NAME:
                    raise ValueError("a name in it is too long")


class _Part:
    """Stands for every class of a TorchScript archive: attributes, and nothing that runs."""

    def __init__(self, *_: object) -> None: ...


def _tensors_of_archive(path: Path) -> dict[str, Tensor] | None:
    """All tensors of a TorchScript archive, by name, without its code; None for another zip file.

    torch's weights-only reader takes no archive, but it takes a copy without code and constants.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as kept:
        members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
        if "constants.pkl" not in members:
            return None
        for name, member in members.items():
            own = name in _READ or name.startswith("data/")
            if own and member.compress_type == zipfile.ZIP_STORED:  # as torch stores all but code
                kept.writestr(member.filename, archive.read(member))
    copy.seek(0)
    classes = get_unsafe_globals_in_checkpoint(copy)
    copy.seek(0)
    with safe_globals([(_Part, name) for name in classes]):
        return dict(_tensors_below(torch.load(copy, map_location="cpu", weights_only=True), ""))


def _tensors_below(part: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a module of an archive and of those in it, but for masks, which are made anew."""
    for name, value in vars(part).items():
        if isinstance(value, _Part):
            yield from _tensors_below(value, f"{prefix}{name}.")
        elif isinstance(value, Tensor) and name != "attn_mask":
            yield prefix + name, value
