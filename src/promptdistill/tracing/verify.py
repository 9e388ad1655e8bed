"""Whether all results still belong together, and the metrics follow from their predictions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..artifacts import INPUTS
from ..errors import UserError
from ..evaluation.metrics import metrics_of
from ..experiment import Experiment
from ..graph import (
    AblationTable,
    Artifact,
    LookupPart,
    Metrics,
    Overview,
    Predictions,
    Table,
    Tracking,
    everything,
    targets,
)
from ..progress import progress
from ..protocols import PROTOCOLS
from ..report.record import record_path
from ..run import RunKey
from .files import Files, TracedFile, every

_USERS = 2  # named in the line of a file that more were made from
_TOLERANCE = 1e-6  # percent
_SAID = {
    "damaged": "damaged: its content is not what it was written with",
    "replaced": "replaced: another file than was used",
    "missing": "missing",
}


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was looked at, and a line for everything that is wrong."""

    files: int
    runs: int
    faults: list[str]

    @property
    def summary(self) -> str:
        """The last line."""
        runs = f"{self.runs} run{'s' * (self.runs != 1)}"
        return f"{self.files} files and the metrics of {runs}: {len(self.faults) or 'none'} wrong."


@dataclass
class _Faults:
    """What is wrong with files, and what was made from them."""

    kinds: dict[str, str] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, kind: str, user: str | None = None) -> None:
        """A file that is damaged is so whatever was made from it, so what is noted first stays."""
        self.kinds.setdefault(path, kind)
        users = self.users.setdefault(path, [])
        if user is not None and user not in users:
            users.append(user)

    def lines(self) -> list[str]:
        """One for each file."""
        return [f"{path}: {_SAID[kind]}{_used_by(self.users[path])}" for path, kind in self.kinds.items()]


def _used_by(users: list[str]) -> str:
    more = f" and {len(users) - _USERS} more" if len(users) > _USERS else ""
    return f" (used by {', '.join(users[:_USERS])}{more})" if users else ""


def verify(experiment: Experiment, run: RunKey | None = None) -> Verified:
    """Look at all results of an experiment, or of one run, and at all that they were made from.

    Every file is hashed once.  UserError if there is nothing yet.
    """
    files, faults = Files(experiment.roots), _Faults()
    made = _made(experiment, run)
    tops = []
    with progress(len(made), "verifying", "result") as bar:
        for path, artifact in made.items():
            top = files.at("result", path)
            if files.header(path) is None:
                faults.add(top.path, "damaged")
            # Of a file of metrics, other runs' predictions are not asked for.
            tops.append(top if run and isinstance(artifact, Metrics) else files.walk(top))
            bar.update()
    found = every(tops)
    metrics = [path for path, artifact in made.items() if isinstance(artifact, Metrics)]
    rows = list(_rows(metrics, run, files))
    if not rows and not any(isinstance(artifact, Predictions) for artifact in made.values()):
        raise UserError(
            f"{experiment.results} has no results of {run or 'this experiment'}: run the workflow first."
        )
    used = [(used, file.path) for file in found for used in file.inputs]
    used += [(predictions, str(path)) for path, _, predictions in rows]
    unfit = [(file, user) for file, user in used if not file.fits]
    replaced = _replaced(unfit)
    for file, user in unfit:
        if user not in replaced:
            faults.add(file.path, _fault(file), user)
    rows = [row for row in rows if row[2].fits]
    wrong = [line for row in rows for line in _differences(*row, experiment)]
    paths = {file.path for file in found}
    return Verified(files=len(paths), runs=len(rows), faults=[*faults.lines(), *wrong])


def _replaced(unfit: list[tuple[TracedFile, str]]) -> set[str]:
    """The files that are not those of a right result: what these say of others does not count.

    `unfit` are files that are not as recorded, each with a file that recorded it.
    """
    users: dict[str, list[str]] = {}
    for file, user in unfit:
        users.setdefault(file.path, []).append(user)
    wrong: dict[str, bool] = {}

    def is_wrong(path: str) -> bool:
        if path not in wrong:
            wrong[path] = False  # until it is known: headers in wrong places may lead round in a circle
            wrong[path] = any(not is_wrong(user) for user in users.get(path, []))
        return wrong[path]

    return {path for path in users if is_wrong(path)}


def _made(experiment: Experiment, run: RunKey | None) -> dict[Path, Artifact]:
    """The files with a header that are there, those first that others are made from."""
    if run:
        own = everything([Predictions(*run)], experiment)
        artifacts = [Metrics(run.protocol, run.method), *own]
    else:
        ablations = map(AblationTable, experiment.ablations)
        artifacts = everything([*targets(experiment), *ablations], experiment)
    paths = {_with_header(one, experiment.results): one for one in reversed(artifacts)}
    return {path: one for path, one in paths.items() if path and path.is_file()}


def _with_header(artifact: Artifact, results: Path) -> Path | None:
    if isinstance(artifact, Table | AblationTable):
        return record_path((results / artifact.path).with_suffix(""))
    if isinstance(artifact, LookupPart | Overview | Tracking):
        return None
    return results / artifact.path


def _fault(file: TracedFile) -> str:
    """What is wrong with a file that does not fit: only a manifest knows what its shards hold."""
    if file.state == "missing":
        return "missing"
    return "damaged" if file.what in ("shard", "classifier") else "replaced"


def _rows(
    metrics: list[Path], run: RunKey | None, files: Files
) -> Iterator[tuple[Path, dict[str, Any], TracedFile]]:
    """File of metrics, row in it, and predictions of every run, or of one."""
    for path in metrics:
        header = files.header(path) or {"runs": []}
        for row in header["runs"]:
            if run is None or row["key"] == str(run):
                yield path, row, files.input("predictions", header[INPUTS][row["key"]])


def _differences(
    metrics: Path, row: dict[str, Any], predictions: TracedFile, experiment: Experiment
) -> list[str]:
    """A line for each metric that comes out otherwise when it is computed again."""
    protocol = PROTOCOLS[row["protocol"]]
    again = metrics_of(Path(predictions.path), protocol, experiment.roots)
    return [
        f"{metrics}: {row['key']} has {name} {row[name]:.4f}, but {predictions.path} gives {again[name]:.4f}"
        for name in (metric.name for metric in protocol.metrics(experiment.settings(protocol.name)))
        if not math.isclose(row[name], again[name], abs_tol=_TOLERANCE)
    ]
