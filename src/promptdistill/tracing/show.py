"""A trace for the terminal: a tree of files, in red what is not the file that the number was made from."""

from itertools import groupby

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ..report.tables import deviation
from ..run import RunKey
from .cell import Cell, Trace, TracedRun
from .files import TracedFile

_DIGITS = 12  # of a hash
_MEANING = {
    "changed": "changed: this number was not made from the file that lies here now",
    "missing": "missing: the file that this number was made from is not here",
}
# Whether a run in MLflow has this result -> what is said of it.
_DOUBTS = {
    True: "",
    False: ", imported before this result: `snakemake track` imports it again",
    None: ", of which is not known whether it holds this result",
}
_COLOURS = {"as recorded": "green", "not recorded": "yellow"}


def show(trace: Trace, console: Console) -> None:
    """Print a trace, and under it whether all its files are those that were recorded."""
    console.print(_tree(trace))
    files = trace.all_files()
    for line in (line for run in trace.runs for line in run.wrong):
        console.print(Text(f"{line}.", "bold red"))
    wrong = sum(not file.fits for file in files)
    if wrong:
        console.print(Text(f"{wrong} of {len(files)} files: not what this number was made from.", "bold red"))
    else:
        console.print(Text(f"All {len(files)} files are those that this number was made from.", "green"))


def _tree(trace: Trace) -> Tree:
    shown: set[str] = set()
    if trace.cell:
        tree, versions = _of_cell(trace.cell), trace.cell.versions
        for file in trace.cell.files:
            _add(tree, file, versions, shown)
    else:
        predictions = trace.runs[0].predictions
        versions = predictions.facts.get("versions", {}) if predictions else {}
        tree = Tree(Text(f"predicted with {_named(versions)}" if versions else "one run"))
    if trace.no_mlflow:
        tree.add(Text(f"no MLflow runs: {trace.no_mlflow}", "yellow"))
    for run in trace.runs:
        branch = tree.add(_run_line(run, trace))
        for file in filter(None, (run.metrics, run.predictions)):
            _add(branch, file, versions, shown)
    return tree


def _of_cell(cell: Cell) -> Tree:
    texts = {name: f"{mean:.2f}{deviation(std)}" for name, (mean, std) in cell.values.items()}
    values = _named(texts)
    tree = Tree(Text(f"{cell.table}: {cell.method} on {cell.dataset}, {cell.shots} shots: {values}", "bold"))
    tree.add(Text(f"configuration {cell.config_sha256[:_DIGITS]} (whole in {cell.record})"))
    tree.add(Text(f"table made at commit {cell.commit}, with {_named(cell.versions)}"))
    return tree


def _named(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _run_line(run: TracedRun, trace: Trace) -> Text:
    values = _named({name: f"{value:.2f}" for name, value in run.values.items()})
    nothing = " (no seed: nothing is learned)" if RunKey.parse(run.key).seed is None else ""
    line = Text(f"{run.key}{nothing}: {values}")
    if trace.no_mlflow:
        return line
    imported = f"MLflow run {run.mlflow}" if run.mlflow else "no MLflow run was imported"
    doubt = "" if run.mlflow is None else _DOUBTS[run.mlflow_fits]
    return line.append(" (").append(imported + doubt, "yellow" if doubt else "").append(")")


def _add(tree: Tree, file: TracedFile, versions: dict[str, str], shown: set[str]) -> None:
    """Add a file with its inputs; those of a file that stands further up already are not repeated."""
    again = bool(file.inputs) and file.path in shown
    branch = tree.add(_line(file, versions, again))
    shown.add(file.path)
    if again:
        return
    for (what, state), group in groupby(file.inputs, key=lambda one: (one.what, one.state)):
        alike = list(group)
        if what == "shard" and state == "as recorded":
            branch.add(Text(f"{len(alike)} shard{'s' * (len(alike) > 1)} as recorded", "green"))
        else:
            for one in alike:
                _add(branch, one, versions, shown)


def _line(file: TracedFile, versions: dict[str, str], again: bool) -> Text:
    """What a file is, where it lies, its hash, whether that is the recorded one, and with which packages.

    Only packages are shown whose versions are others than `versions`.
    """
    line = Text(f"{file.what}  {file.path}  ")
    if file.found:
        line.append(f"{file.found[:_DIGITS]}  ", "dim")
    if file.otherwise:
        line.append(file.otherwise, "bold red")
    elif file.fits:
        line.append(file.state, _COLOURS[file.state])
    else:
        recorded = f" (recorded: {file.recorded[:_DIGITS]})" if file.recorded else ""
        line.append(_MEANING[file.state] + recorded, "bold red")
    own = file.facts.get("versions", {})
    others = {name: version for name, version in own.items() if versions.get(name) != version}
    if others:
        line.append(f"  made with {_named(others)}")
    return line.append("  (inputs as above)", "dim") if again else line
