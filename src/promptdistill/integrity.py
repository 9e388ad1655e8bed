"""Whether an artifact that lies there is the one that a configuration asks for, before it is used."""

from pathlib import Path

from .artifacts import INPUTS, MADE, Input, Made, read_header
from .errors import UserError
from .experiment import Experiment
from .files import sha256
from .graph import Artifact, everything, targets


def require(artifact: Artifact, experiment: Experiment) -> None:
    """UserError if an artifact is missing, damaged, another one, or was made otherwise than is asked for.

    Otherwise means: with other settings than the configuration's, or from other files than lie here now.
    """
    if artifact.header_path is None:
        return
    path = experiment.results / artifact.header_path
    header = read_header(path)
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


def outdated(experiment: Experiment) -> list[str]:
    """The paths of all results that are there, and have to be made again for this configuration."""
    if not experiment.results.is_dir():
        return []
    wanted = everything(targets(experiment), experiment)
    return [f"{experiment.results}/{one.path}" for one in wanted if _outdated(one, experiment)]


def _outdated(artifact: Artifact, experiment: Experiment) -> bool:
    """What an artifact was made from counts where it is the user's own; the rest follows from that."""
    path = artifact.header_path and experiment.results / artifact.header_path
    if path is None or not path.is_file():
        return False
    try:
        header = read_header(path)
    except UserError:
        return True
    own = [used for used in header[INPUTS].values() if used.root != "results"]
    if any(_changed(experiment.roots.locate(used), used) for used in own):
        return True
    return made_otherwise(header[MADE], artifact, experiment) is not None


def _changed(source: Path, used: Input) -> bool:
    return source.is_file() and sha256(source) != used.sha256
