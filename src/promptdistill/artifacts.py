"""What an artifact says of itself: which one it is, by which settings, and from which files it was made.

Paths count from the folder of results (or of data sets, or of entries), so that the same work gives the
same bytes in any folder.  `trace`, `verify`, `track` and every reader follow these; nothing rebuilds them.
A seal, a hash of all else, shows what was damaged or edited since.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import UserError
from .files import read_json, sha256, sha256_of_json, write_json
from .validation import Strict

KEY = "promptdistill"  # under which an artifact keeps its header
MANIFEST = "manifest.json"
CLASSIFIER = "classifier.safetensors"  # beside a manifest that lists one
INPUTS = "inputs"
MADE = "made"
SEAL = "seal_sha256"

Root = Literal["results", "data", "config", "elsewhere"]
_ROOTS: tuple[Root, ...] = ("config", "data", "results")  # of two that are one folder, the last one counts


class Input(Strict):
    """A file that something was made from; `path` counts from the folder `root`."""

    path: str
    sha256: str
    root: Root = "results"


Inputs = dict[str, Input]


class Made(Strict):
    """Which artifact one is, by rule and key, and hashes of the settings that it was made with, by name."""

    rule: str
    key: str
    settings: dict[str, str]

    def differing(self, other: "Made") -> list[str]:
        """The settings in which two of the same artifact differ."""
        names = {**self.settings, **other.settings}
        return [name for name in names if self.settings.get(name) != other.settings.get(name)]


@dataclass(frozen=True, slots=True)
class Roots:
    """The folders that paths of inputs count from."""

    results: Path
    data: Path
    config: Path

    def record(self, path: Path) -> Input:
        """A file as it is now, to be listed by what is made from it; UserError if it is missing."""
        root, relative = self._place(path)
        try:
            return Input(path=relative, sha256=sha256(path), root=root)
        except FileNotFoundError:
            raise UserError(f"{path} does not exist: make it first.") from None

    def locate(self, used: Input) -> Path:
        """Where an input lies."""
        return Path(used.path) if used.root == "elsewhere" else getattr(self, used.root) / used.path

    def _place(self, path: Path) -> tuple[Root, str]:
        """The innermost of the folders that holds a path, and the path below it."""
        whole, folders = _normal(path), {_normal(getattr(self, root)): root for root in _ROOTS}
        for folder in whole.parents:
            # Data sets are folders: a file among them, such as a receipt, is a result, wherever data lie.
            if folder in folders and (folders[folder] != "data" or folder != whole.parent):
                return folders[folder], whole.relative_to(folder).as_posix()
        return "elsewhere", path.as_posix()


def _normal(path: Path) -> Path:
    """From the root of the file system, without dots; links are not followed, since a folder may be one."""
    return Path(os.path.normpath(path.absolute()))


class Sources(dict[str, Path]):
    """The files that a step reads, by name, and what it makes: what it reads is what the artifact records."""

    def __init__(self, roots: Roots, made: Made | None = None, **paths: Path | None) -> None:
        super().__init__((name, Path(path)) for name, path in paths.items() if path is not None)
        self.roots, self.made = roots, made

    def record(self, name: str) -> Input | None:
        """One of them, hashed as it is now; None where there is none of that name."""
        return self.roots.record(self[name]) if name in self else None

    def recorded(self) -> Inputs:
        """All of them, hashed as they are now."""
        return {name: self.roots.record(path) for name, path in self.items()}

    def header(self) -> dict[str, Any]:
        """What every header says, as JSON: what was made, and from which files as they are now."""
        inputs = {name: used.model_dump() for name, used in self.recorded().items()}
        return {MADE: self.made and self.made.model_dump(), INPUTS: inputs}


def read_header(path: Path) -> dict[str, Any]:
    """What an artifact says of itself: facts, what it is under MADE, and its inputs under INPUTS.

    UserError if the file is missing, is not an artifact, or was made by a version that listed no inputs.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: make it first.")
    try:
        header = raw_header(path)
        header[MADE] = header[MADE] and Made.model_validate(header[MADE])
        header[INPUTS] = {name: Input.model_validate(used) for name, used in header[INPUTS].items()}
        return header
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OSError, RecursionError, struct.error):
        raise UserError(
            f"{path} does not say what it was made from: it is damaged, was made by an earlier version, or "
            "is another file. Delete it and run again."
        ) from None


def raw_header(path: Path) -> dict[str, Any]:
    """The header of an artifact as it was written, unchecked, but for JSON's, whose seal covers the file."""
    return _READERS[path.suffix](path)


def sealed(header: dict[str, Any], content: Iterable[bytes] = ()) -> dict[str, Any]:
    """A header with a seal: a hash of it and of the content that stands beside it."""
    digest = hashlib.sha256(sha256_of_json(header).encode())
    for part in content:
        digest.update(part)
    return {**header, SEAL: digest.hexdigest()}


def is_whole(header: dict[str, Any], content: Iterable[bytes] = ()) -> bool:
    """Whether a header and the content beside it are those that were sealed."""
    return header == sealed({name: value for name, value in header.items() if name != SEAL}, content)


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON artifact atomically, with its seal."""
    write_json(path, sealed(content))


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote; UserError if it is missing, is something else, or has changed since."""
    content = read_json(path)
    if not isinstance(content, dict) or not is_whole(content):
        raise UserError(
            f"{path} is not as it was written: it is damaged, was edited, or is of an earlier version. "
            "Delete it and run again."
        )
    del content[SEAL]
    return content


def _parquet_header(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - few commands need it

    return json.loads(pq.read_schema(path).metadata[KEY.encode()])


def _safetensors_header(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(min(length, path.stat().st_size)))
    return json.loads(header["__metadata__"][KEY])


def _json_header(path: Path) -> dict[str, Any]:
    content = read_sealed(path)
    return dict(content.get(KEY, content))


_READERS = {".parquet": _parquet_header, ".safetensors": _safetensors_header, ".json": _json_header}


def history_path(prompt: Path) -> Path:
    """Where the rows of a training, or of a search, lie beside its prompt."""
    return prompt.with_suffix(".history.json")
