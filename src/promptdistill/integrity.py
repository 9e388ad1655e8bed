"""Whether an artifact that lies there is the one that a configuration asks for, before it is used."""

from functools import cache
from pathlib import Path
from typing import Any

from .artifacts import INPUTS, MADE, Input, Made, read_header
from .data.receipt import images_are, last_change
from .errors import UserError
from .experiment import Experiment
from .files import sha256, write_text
from .graph import Artifact, Receipt

_SEEN = Path(".snakemake/images")  # until when the images of a data set are known to be those of its receipt


def require(artifact: Artifact, experiment: Experiment) -> None:
    """UserError if an artifact is missing, damaged, another one, or was made otherwise than is asked for.

    Otherwise means: with other settings than the configuration's, or from other files than lie here now.
    """
    if artifact.header_path is None:
        return
    path = experiment.results / artifact.header_path
    header = _header(path, _changed_at(path))
    if fault := made_otherwise(header[MADE], artifact, experiment):
        raise UserError(f"{path} {fault}: delete it and run again.")
    for name, used in header[INPUTS].items():
        source = experiment.roots.locate(used)
        if _changed(source, used):
            raise UserError(
                f"{path} was made from another {name} than {source} is now: delete {path} and run again, so "
                "that both belong together."
            )


def made_otherwise(made: Made | None, artifact: Artifact, experiment: Experiment) -> str | None:
    """Why an artifact is not the one that is asked for, as the end of a sentence about it; None if it is."""
    asked = artifact.made(experiment)
    if made is None or (made.rule, made.key) != (asked.rule, asked.key):
        return f"is not {asked.key}, but {made.key if made else 'does not say what it is'}"
    if differing := made.differing(asked):
        return f"was made with other settings than the configuration's ({', '.join(differing)})"
    return None


def outdated(artifact: Artifact, experiment: Experiment) -> bool:
    """Whether an artifact is there, and has to be made again for this configuration.

    What it was made from counts where it is the user's own; the rest follows from that.
    """
    path = artifact.header_path and experiment.results / artifact.header_path
    if path is None or not path.is_file():
        return False
    try:
        header = read_header(path)
    except UserError:
        return True
    if isinstance(artifact, Receipt) and _images_changed(path, artifact.dataset, experiment):
        return True
    own = [used for used in header[INPUTS].values() if used.root != "results"]
    if any(_changed(experiment.roots.locate(used), used) for used in own):
        return True
    return made_otherwise(header[MADE], artifact, experiment) is not None


def _images_changed(receipt: Path, dataset: str, experiment: Experiment) -> bool:
    """Whether images changed since their receipt; their content is read where one is newer, once."""
    changed = last_change(experiment.image_folder(dataset))
    if changed is None or changed < receipt.stat().st_mtime_ns:
        return False
    known, seen = _SEEN / dataset, f"{sha256(receipt)} {changed}"
    if known.is_file() and known.read_text() == seen:
        return False
    try:
        same = images_are(receipt, experiment.dataset(dataset), Path(experiment.config.data_root))
    except UserError:  # one is missing, or the split is malformed: the step says so
        same = False
    if same:
        write_text(known, seen)
    return not same


def _changed(source: Path, used: Input) -> bool:
    return source.is_file() and _hash(source, _changed_at(source)) != used.sha256


# The runs of a job share most of what they read: a file that has not changed since is not read again.
def _changed_at(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


@cache
def _header(path: Path, _changed_at: int) -> dict[str, Any]:
    return read_header(path)


@cache
def _hash(path: Path, _changed_at: int) -> str:
    return sha256(path)
