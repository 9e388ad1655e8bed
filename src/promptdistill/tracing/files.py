"""One walk from any artifact to all files behind it, by what the headers of artifacts say."""

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, computed_field

from ..artifacts import CLASSIFIER, INPUTS, MADE, Input, read_header
from ..errors import UserError
from ..evaluation.metrics import metrics_of
from ..experiment import Experiment
from ..files import sha256
from ..graph import named
from ..integrity import made_otherwise
from ..protocols import PROTOCOLS
from ..run import RunKey
from ..validation import Strict

State = Literal["as recorded", "not recorded", "changed", "missing"]

# What a header lists of the files beside it: the key, and what each file is.
_BESIDE = {"shards": "shard", "classifier": "classifier", "files": "table"}
_ROWS = "runs"  # of metrics: no facts about their file
_TOLERANCE = 1e-4  # percent: tables have four decimals


class TracedFile(Strict):
    """One file of a trace, and the files that it was made from.

    `what` is its name among the inputs of what was made from it.  `recorded` is the SHA-256 that is noted
    there, if any; `found` that of the file that lies here now, if any.  `otherwise` says how it was made
    otherwise than the configuration asks for, if it was.  `facts` are what it says of itself; a file that is
    not the recorded one has neither facts nor inputs: they belong to another result.
    """

    what: str
    path: str
    recorded: str | None
    found: str | None
    otherwise: str | None = None
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
    def is_recorded(self) -> bool:
        """Whether the result was made from the file that lies here, as far as is recorded."""
        return self.state in ("as recorded", "not recorded")

    @property
    def fits(self) -> bool:
        """Whether it is the recorded file, and that was made as the configuration asks."""
        return self.is_recorded and self.otherwise is None


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


def differences(row: dict[str, Any], predictions: TracedFile, experiment: Experiment) -> list[str]:
    """A sentence for each metric of a run that comes out otherwise when it is computed again."""
    protocol = PROTOCOLS[RunKey.parse(row["key"]).protocol]
    again = metrics_of(Path(predictions.path), protocol, experiment.roots)
    return [
        f"{row['key']} has {name} {row[name]:.4f}, but {predictions.path} gives {again[name]:.4f}"
        for name in (metric.name for metric in protocol.metrics(experiment.settings(protocol.name)))
        if not math.isclose(row[name], again[name], abs_tol=_TOLERANCE)
    ]


class Files:
    """The files of an experiment as they are now; each is hashed, read and followed once."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment, self.roots = experiment, experiment.roots
        self._hash = cache(lambda path: sha256(path) if path.is_file() else None)
        self._header, self._inputs = cache(_header), cache(self._inputs_of)

    def at(self, what: str, path: Path, recorded: str | None = None) -> TracedFile:
        """A file, compared with what was recorded of it and not followed."""
        return TracedFile(what=what, path=str(path), recorded=recorded, found=self._hash(path))

    def input(self, what: str, used: Input) -> TracedFile:
        """A file that something was made from, not followed."""
        return self.at(what, self.roots.locate(used), used.sha256)

    def walk(self, file: TracedFile) -> TracedFile:
        """A file with what it says of itself and with all files behind it, if it is the recorded one."""
        header = self.header(Path(file.path)) if file.is_recorded else None
        if header is None:  # another file, or one of the user's own that says nothing of itself
            return file
        facts = {key: value for key, value in header.items() if key not in (INPUTS, MADE, _ROWS, *_BESIDE)}
        own = {"facts": facts, "inputs": self._inputs(Path(file.path)), "otherwise": self._otherwise(header)}
        return file.model_copy(update=own)

    def header(self, path: Path) -> dict[str, Any] | None:
        """What a file says of itself, its inputs under INPUTS; None if it says nothing that can be read."""
        return self._header(path)

    def _otherwise(self, header: dict[str, Any]) -> str | None:
        try:
            return header[MADE] and made_otherwise(header[MADE], named(header[MADE]), self.experiment)
        except UserError as error:
            return f"is not of this configuration: {error}"

    def _inputs_of(self, path: Path) -> list[TracedFile]:
        header, found = self._header(path), []
        for key, what in _BESIDE.items():
            listed = header.get(key) or []
            for one in [listed] if isinstance(listed, dict) else listed:
                name = one.get("file") or one.get("path") or CLASSIFIER
                found.append(self.at(what, path.with_name(name), one["sha256"]))
        return found + [self.walk(self.input(name, one)) for name, one in header[INPUTS].items()]


def _header(path: Path) -> dict[str, Any] | None:
    try:
        return read_header(path)
    except UserError:
        return None
