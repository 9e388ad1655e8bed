"""One walk from any artifact to all files behind it, by what the headers of artifacts say."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, computed_field

from ..artifacts import CLASSIFIER, INPUTS, Input, Roots, read_header
from ..errors import UserError
from ..files import sha256
from ..validation import Strict

State = Literal["as recorded", "not recorded", "changed", "missing"]

# What a header lists of the files beside it: the key, and what each file is.
_BESIDE = {"shards": "shard", "classifier": "classifier", "files": "table"}
_ROWS = "runs"  # of metrics: no facts about their file


class TracedFile(Strict):
    """One file of a trace, and the files that it was made from.

    `what` is its name among the inputs of what was made from it.  `recorded` is the SHA-256 that is noted
    there, None where none is; `found` that of the file that lies here now, None if there is none.  `facts`
    are what the file says of itself.  A file that is not the recorded one has neither facts nor inputs: what
    it says belongs to another result.
    """

    what: str
    path: str
    recorded: str | None
    found: str | None
    facts: dict[str, Any] = Field({})
    inputs: list["TracedFile"] = Field([])

    @computed_field
    @property
    def state(self) -> State:
        """How the file that lies here now compares with the recorded one."""
        if self.found is None:
            return "missing"
        if self.recorded is None:
            return "not recorded"
        return "as recorded" if self.found == self.recorded else "changed"

    @property
    def fits(self) -> bool:
        """Whether the result was made from the file that lies here, as far as is recorded."""
        return self.state in ("as recorded", "not recorded")


def every(tops: Iterable[TracedFile]) -> list[TracedFile]:
    """Some files and all that they were made from, each once, however many were made from it."""
    found: dict[tuple[str, str | None], TracedFile] = {}
    waiting = list(tops)
    while waiting:
        file = waiting.pop()
        if (file.path, file.recorded) not in found:
            found[file.path, file.recorded] = file
            waiting.extend(file.inputs)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Files:
    """The files below some folders as they are now; each is hashed, read and followed once."""

    roots: Roots
    _hashes: dict[Path, str | None] = field(default_factory=dict)
    _headers: dict[Path, dict[str, Any] | None] = field(default_factory=dict)
    _inputs: dict[Path, list[TracedFile]] = field(default_factory=dict)

    def at(self, what: str, path: Path, recorded: str | None = None) -> TracedFile:
        """A file, compared with what was recorded of it and not followed."""
        if path not in self._hashes:
            self._hashes[path] = sha256(path) if path.is_file() else None
        return TracedFile(what=what, path=str(path), recorded=recorded, found=self._hashes[path])

    def input(self, what: str, used: Input) -> TracedFile:
        """A file that something was made from, not followed."""
        return self.at(what, self.roots.locate(used), used.sha256)

    def walk(self, file: TracedFile) -> TracedFile:
        """A file with what it says of itself and with all files behind it, if it is the recorded one."""
        header = self.header(Path(file.path)) if file.fits else None
        if header is None:  # another file, or one of the user's own that says nothing of itself
            return file
        facts = {key: value for key, value in header.items() if key not in (INPUTS, _ROWS, *_BESIDE)}
        return file.model_copy(update={"facts": facts, "inputs": self._inputs_of(Path(file.path), header)})

    def header(self, path: Path) -> dict[str, Any] | None:
        """What a file says of itself, its inputs under INPUTS; None if it says nothing that can be read."""
        if path not in self._headers:
            try:
                self._headers[path] = read_header(path)
            except UserError:
                self._headers[path] = None
        return self._headers[path]

    def _inputs_of(self, path: Path, header: dict[str, Any]) -> list[TracedFile]:
        if path not in self._inputs:
            found = []
            for key, what in _BESIDE.items():
                listed = header.get(key) or []
                for one in [listed] if isinstance(listed, dict) else listed:
                    name = one.get("file") or one.get("path") or CLASSIFIER
                    found.append(self.at(what, path.with_name(name), one["sha256"]))
            found += [self.walk(self.input(name, one)) for name, one in header[INPUTS].items()]
            self._inputs[path] = found
        return self._inputs[path]
