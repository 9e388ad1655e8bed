"""What an artifact says of itself: the files that it was made from, each by name, with path and hash.

Paths count from the folder of results (or of data sets, or of entries), so that the same work gives the
same bytes in any folder.  `trace`, `verify`, `track` and every reader follow these; nothing rebuilds them.
"""

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from .errors import UserError
from .files import sha256
from .validation import Strict

KEY = "promptdistill"  # under which an artifact keeps its header
MANIFEST = "manifest.json"
CLASSIFIER = "classifier.safetensors"  # beside a manifest that lists one
INPUTS = "inputs"

Root = Literal["results", "data", "config", "elsewhere"]
_ROOTS: tuple[Root, ...] = ("config", "data", "results")  # of two that are one folder, the last one counts


class Input(Strict):
    """A file that something was made from; `path` counts from the folder `root`."""

    path: str
    sha256: str
    root: Root = "results"

    def same(self, other: "Input | None") -> bool:
        """Whether both have the same content."""
        return other is not None and self.sha256 == other.sha256


Inputs = dict[str, Input]


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
    """The files that a step reads, by name: what it reads is what the artifact records."""

    def __init__(self, roots: Roots, **paths: Path | None) -> None:
        super().__init__((name, Path(path)) for name, path in paths.items() if path is not None)
        self.roots = roots

    def record(self, name: str) -> Input | None:
        """One of them, hashed as it is now; None where there is none of that name."""
        return self.roots.record(self[name]) if name in self else None

    def recorded(self) -> Inputs:
        """All of them, hashed as they are now."""
        return {name: self.roots.record(path) for name, path in self.items()}


def read_header(path: Path) -> dict[str, Any]:
    """What an artifact says of itself: facts, and its inputs under INPUTS.

    UserError if the file is missing, is not an artifact, or was made by a version that listed no inputs.
    """
    try:
        header = _READERS[path.suffix](path)
        header[INPUTS] = {name: Input.model_validate(used) for name, used in header[INPUTS].items()}
        return header
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: make it first.") from None
    except (KeyError, TypeError, ValueError, AttributeError, OSError, ValidationError, RecursionError):
        raise UserError(
            f"{path} does not say what it was made from: it is damaged, was made by an earlier version, or "
            "is another file. Delete it and run again."
        ) from None


def _parquet_header(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - few commands need it

    return json.loads(pq.read_schema(path).metadata[KEY.encode()])


def _safetensors_header(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(min(length, path.stat().st_size)))
    return json.loads(header["__metadata__"][KEY])


def _json_header(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return dict(content.get(KEY, content))


_READERS = {".parquet": _parquet_header, ".safetensors": _safetensors_header, ".json": _json_header}


def require_made_from(path: Path, inputs: Inputs, **expected: Input | None) -> None:
    """UserError if an artifact was made from another file than one that is used beside it."""
    for name, used in expected.items():
        made_from = inputs.get(name)
        if used is not None and made_from is not None and not made_from.same(used):
            raise UserError(
                f"{path} was made from another {name} than {used.path}, which is used here: delete {path} "
                "and run again, so that both belong together."
            )


def history_path(prompt: Path) -> Path:
    """Where the rows of a training, or of a search, lie beside its prompt."""
    return prompt.with_suffix(".history.json")
