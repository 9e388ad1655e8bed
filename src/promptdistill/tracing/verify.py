"""Whether all results still belong together, and the metrics follow from their predictions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .. import graph
from ..artifacts import INPUTS
from ..data.receipt import images_are
from ..errors import UserError
from ..experiment import Experiment
from ..progress import progress
from ..run import RunKey
from .files import Files, TracedFile, differences, every

_USERS = 2  # named in the line of a file that more were made from
_SAID = {
    "damaged": "damaged: its content is not what it was written with",
    "replaced": "replaced: another file than was used",
    "missing": "missing",
}


class Verified(NamedTuple):
    """What was looked at, and a line for everything that is wrong."""

    files: int
    runs: int
    faults: list[str]

    @property
    def summary(self) -> str:
        """The last line."""
        runs = f"{self.runs} run{'s' * (self.runs != 1)}"
        return f"{self.files} files and the metrics of {runs}: {len(self.faults) or 'none'} wrong."


def verify(experiment: Experiment, run: RunKey | None = None) -> Verified:
    """Look at all results of an experiment, or of one run, and at all that they were made from.

    Every file is hashed once.  UserError if there is nothing yet.
    """
    files, made = Files(experiment), _made(experiment, run)
    tops, damaged = [], []
    with progress(len(made), "verifying", "result") as bar:
        for path, artifact in made.items():
            top = files.at("result", path)
            if files.header(path) is None:
                damaged.append(top.path)
            # Of a file of metrics, other runs' predictions are not asked for.
            tops.append(top if run and isinstance(artifact, graph.Metrics) else files.walk(top))
            bar.update()
    found = every(tops)
    metrics = [path for path, artifact in made.items() if isinstance(artifact, graph.Metrics)]
    rows = list(_rows(metrics, run, files))
    if not rows and not any(isinstance(artifact, graph.Predictions) for artifact in made.values()):
        raise UserError(
            f"{experiment.results} has no results of {run or 'this experiment'}: run the workflow first."
        )
    used = [(used, file.path) for file in found for used in file.inputs]
    used += [(predictions, str(path)) for path, _, predictions in rows]
    unfit = [(file, user) for file, user in used if not file.is_recorded]
    doubtful = {*damaged, *(file.path for file, _ in unfit)}
    whole = {path: artifact for path, artifact in made.items() if str(path) not in doubtful}
    otherwise = {f"{file.path} {file.otherwise}": None for file in found if file.otherwise}
    rows = [row for row in rows if row[2].is_recorded]
    wrong = [f"{path}: {line}" for path, row, file in rows for line in differences(row, file, experiment)]
    faults = [*_faults(damaged, unfit), *otherwise, *_images(whole, experiment), *wrong]
    return Verified(files=len({file.path for file in found}), runs=len(rows), faults=faults)


def _faults(damaged: list[str], unfit: list[tuple[TracedFile, str]]) -> Iterator[str]:
    """A line for each file: those that say nothing of themselves, and `unfit`, with what recorded them.

    What a file says of others does not count where that file is itself not the one of a right result.
    """
    users: dict[str, dict[str, None]] = {}
    for file, user in unfit:
        users.setdefault(file.path, {})[user] = None
    wrong: dict[str, bool] = {}

    def is_wrong(path: str) -> bool:
        if path not in wrong:
            wrong[path] = False  # until it is known: headers in wrong places may lead round in a circle
            wrong[path] = any(not is_wrong(user) for user in users.get(path, ()))
        return wrong[path]

    kinds = dict.fromkeys(damaged, "damaged")  # whatever was made from them
    for file, user in unfit:
        if not is_wrong(user):
            # Only a manifest knows what its shards hold.
            kind = "damaged" if file.what in ("shard", "classifier") else "replaced"
            kinds.setdefault(file.path, "missing" if file.state == "missing" else kind)
    for path, kind in kinds.items():
        made = [user for user in users.get(path, ()) if not is_wrong(user)]
        named = ", ".join(made[:_USERS]) + (f" and {len(made) - _USERS} more" if len(made) > _USERS else "")
        yield f"{path}: {_SAID[kind]}" + (f" (used by {named})" if named else "")


def _made(experiment: Experiment, run: RunKey | None) -> dict[Path, graph.Artifact]:
    """The files with a header that are there, those first that others are made from."""
    if run:
        artifacts = [
            graph.Metrics(run.protocol, run.method),
            *graph.everything([graph.Predictions(*run)], experiment),
        ]
    else:
        ablations = map(graph.AblationTable, experiment.ablations)
        artifacts = graph.everything([*graph.targets(experiment), *ablations], experiment)
    made = {}
    for artifact in reversed(artifacts):
        if artifact.header_path and (path := experiment.results / artifact.header_path).is_file():
            made[path] = artifact
    return made


def _images(made: dict[Path, graph.Artifact], experiment: Experiment) -> Iterator[str]:
    """A line for each data set whose images are others than those of its receipt."""
    for path, artifact in made.items():
        folder = isinstance(artifact, graph.Receipt) and experiment.image_folder(artifact.dataset)
        if folder and folder.is_dir():  # results may have been pulled without pictures
            try:
                same = images_are(path, experiment.dataset(artifact.dataset), experiment.roots.data)
                fault = None if same else f"{folder}: images were replaced since {path} was made"
            except UserError as error:
                fault = str(error)
            if fault:
                yield fault


def _rows(
    metrics: list[Path], run: RunKey | None, files: Files
) -> Iterator[tuple[Path, dict[str, Any], TracedFile]]:
    """File of metrics, row in it, and predictions of every run, or of one."""
    for path in metrics:
        header = files.header(path) or {"runs": []}
        for row in header["runs"]:
            if run is None or row["key"] == str(run):
                yield path, row, files.input("predictions", header[INPUTS][row["key"]])
