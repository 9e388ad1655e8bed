"""Results under version control by DVC: what Snakemake made is recorded, what was recorded is restored.

DVC hashes whole folders, Snakemake compares file times and keeps the parameters and code of every output in
`.snakemake`, which no remote holds.  So a run by hand has to be told to DVC (`record`), and a restored file
to Snakemake (`pull`).  Both work on the pipeline in the current folder: Snakefile, dvc.yaml, dvc.lock.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from dvc.exceptions import DownloadError, DvcException
from dvc.repo import Repo
from dvc.scm import SCMError

from .data.receipt import read_about
from .errors import UserError
from .experiment import Experiment
from .files import read_json
from .graph import USED_FILES, used_files

UP_TO_DATE = "Nothing to be done"
SNAKEMAKE = "snakemake --cores all"  # how each command of dvc.yaml begins
TOUCH = "snakemake --cores 1 --touch --forceall --no-hooks --quiet"
TRACK = "snakemake --cores 1 --no-hooks track"  # MLflow's store is this machine's own, and in no remote
CONFIGURATION = Path("config/config.yaml")  # of the default pipeline
# Folders among the inputs of dvc.yaml that hold what no result comes from, too.
_NAMED_BY_FILE = {
    "config/datasets",
    "config/methods",
    "config/plugins",
    "config/published",
    "src/promptdistill",
}


class Restored(NamedTuple):
    """What `pull` brought back: layers whole, other layers not, and the data sets without their pictures."""

    layers: list[str]
    incomplete: list[str]
    without_pictures: list[str]


def record() -> None:
    """Tell DVC what a finished run of Snakemake made: dvc.lock, and copies in DVC's cache.

    Raises UserError, and changes nothing, if the default pipeline is not up to date: then dvc.lock would call
    old results current.
    """
    with _opened(None) as repo:
        if UP_TO_DATE not in _snakemake("snakemake --dry-run"):
            raise UserError(
                "The default pipeline is not complete, so DVC was not told of this run: `dvc repro` "
                "completes and records it."
            )
        for output in repo.index.outs:
            if output.use_cache:  # a layer that the experiment does not need is an empty folder
                Path(output.fs_path).mkdir(parents=True, exist_ok=True)
        repo.commit(force=True)


def pull(remote: str | None) -> Restored:
    """Restore what dvc.lock names, from DVC's cache and a remote (or the default one, if there is one).

    Every downloaded file is checked against its hash.  Afterwards Snakemake takes the restored files for
    what this configuration and code make, and MLflow has their runs.  Raises UserError, and leaves the
    results as they were, if configuration or code are not those of dvc.lock, if something is missing or
    damaged, or if results would be lost that were made here and never recorded.
    """
    if not Path("dvc.lock").is_file():
        raise UserError("There is no dvc.lock here: nothing was versioned yet; `dvc repro` makes everything.")
    with _opened(remote) as repo:
        _refuse_edits(repo)
        if name := repo.config["core"].get("remote"):
            _require_store(repo, name)
            with suppress(DownloadError):  # what is absent is named next
                repo.fetch()
        _require_all_files(repo)
        _checkout(repo)
        changed = repo.status()  # a stage with all of its files as in dvc.lock is not in it
        whole = [stage for stage in repo.index.stages if _is_whole(changed.get(stage.addressing, []))]
        incomplete = [stage.name for stage in repo.index.stages if stage not in whole]
        # A layer's command, touching: the last one covers the others, if it is there.
        for stage in whole if incomplete else whole[-1:]:
            _snakemake(stage.cmd.replace(SNAKEMAKE, TOUCH))
        if not incomplete:
            _snakemake(TRACK)
            if changed:
                repo.commit(force=True)  # what no result comes from is not as in dvc.lock
    return Restored([stage.name for stage in whole], incomplete, _without_pictures())


@contextmanager
def _opened(remote: str | None) -> Iterator[Repo]:
    """The DVC repository of the current folder; what DVC refuses becomes a UserError."""
    if not (Path(".dvc").is_dir() and Path("dvc.yaml").is_file()):
        raise UserError(f"{Path.cwd()} is not a DVC repository: go to the folder of dvc.yaml, or `dvc init`.")
    try:
        with Repo(".") as repo:
            name = remote or repo.config["core"].get("remote")
        # By itself DVC trusts most remotes, and takes a damaged file for the right one.
        checked = {"remote": name, "remote_config": {"verify": True}} if name else {}
        with Repo(".", **checked) as repo:
            yield repo
    except (DvcException, SCMError) as error:
        raise UserError(f"DVC: {error}") from error


def _require_store(repo: Repo, name: str) -> None:
    """UserError if a remote cannot be reached: DVC would ask for file after file, for minutes."""
    store = repo.cloud.get_remote_odb(name)
    address = repo.config["remote"][name]["url"]
    try:
        found = store.fs.exists(store.path)
    except Exception as error:  # every kind of store raises its own
        raise UserError(
            f"The remote {name} ({address}) cannot be reached, so nothing was restored: {error}"
        ) from error
    if not found:
        raise UserError(
            f"The remote {name} ({address}) holds nothing, so nothing was restored: see whether this is its "
            "address, and `dvc push` from where the results are."
        )


def _refuse_edits(repo: Repo) -> None:
    """UserError if an input of the pipeline is not the one that the versioned results were made from."""
    made = {output.def_path for output in repo.index.outs}
    # An entry of DVC's status is a mapping, or a word for a command, which stands in dvc.yaml.
    changes = [change for own in repo.status().values() for change in own]
    edited = {"dvc.yaml" for change in changes if change == "changed command"}
    for change in changes:
        edited |= set() if isinstance(change, str) else set(change.get("changed deps", {})) - made
    experiment = Experiment.read(CONFIGURATION, CONFIGURATION.parent)
    recorded = experiment.results / USED_FILES
    if edited & _NAMED_BY_FILE and recorded.is_file():
        # A folder may differ in files that no result comes from, such as an entry that is in no commit.
        used, own = read_json(recorded), used_files(experiment)
        edited -= _NAMED_BY_FILE
        edited |= {path for path in used | own if used.get(path) != own.get(path)}
    if edited:
        raise UserError(
            f"{', '.join(sorted(edited))}: not as in dvc.lock, so results restored now would be taken for "
            "those of the edited files.  Put the edits aside (git stash), pull, and bring them back "
            "(git stash pop); or `dvc repro` makes new results."
        )


def _is_whole(changes: list[str | dict]) -> bool:
    """Whether a stage's results are as in dvc.lock, and its inputs too, but for files that were not used."""
    return all(
        not isinstance(change, str)
        and not change.get("changed outs")
        and set(change.get("changed deps", {})) <= _NAMED_BY_FILE
        for change in changes
    )


def _require_all_files(repo: Repo) -> None:
    """UserError if DVC's cache lacks a file of the versioned results; damaged ones were thrown away."""
    if absent := list(_absent_files(repo)):
        # Without its folder's list, DVC looks at each file of the folder again when it pushes.
        path, *objects = absent[0]
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise UserError(
            f"{path}{more}: missing in the remote, or damaged there, so nothing was restored.  To mend the "
            f"remote, delete {' and '.join(dict.fromkeys(objects))} in it, where it is there, and `dvc push` "
            "again from where these results are; or make them again with `dvc repro`."
        )


def _absent_files(repo: Repo) -> Iterator[tuple[str, str, str]]:
    """Path of each missing file, and what it and the list of its folder are called in a remote."""
    for output in repo.index.outs:
        if not (output.use_cache and output.hash_info):
            continue
        listed = _in_remote(output.hash_info.value)
        folder = output.get_obj()
        if folder is None:
            yield output.def_path, listed, listed
            continue
        for key, _, found in folder:
            if not output.cache.exists(found.value):
                yield "/".join([output.def_path, *key]), _in_remote(found.value), listed


def _in_remote(md5: str) -> str:
    """Where a remote keeps a file of this hash."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _checkout(repo: Repo) -> None:
    """Bring the versioned results into the folder; UserError if others lie there that nothing else holds."""
    try:
        repo.checkout()
    except DvcException as error:
        if "unsaved files" not in str(error):
            raise
        _, path, *others = str(error).splitlines()
        more = f" and {len(others)} more files were" if others else " was"
        raise UserError(
            f"{path}{more} made here and never recorded, and would be lost, so nothing was restored.  To "
            "keep them, complete and record them with `dvc repro`; else move them away, and pull again."
        ) from error


def _without_pictures() -> list[str]:
    """The data sets whose receipts are here and whose folders are not: they lie outside the results."""
    roots = Experiment.read(CONFIGURATION, CONFIGURATION.parent).roots
    receipts = [read_about(path) for path in sorted((roots.results / "data").glob("*.json"))]
    return [one.dataset for one in receipts if not (roots.data / one.folder).is_dir()]


def _snakemake(command: str) -> str:
    """Run a shell command that calls Snakemake, the one beside this Python: what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, shell=True, check=False, env=os.environ | {"PATH": path}, **output)
    if done.returncode:
        raise UserError(f"`{command}` failed:\n{done.stdout.strip()}")
    return done.stdout
