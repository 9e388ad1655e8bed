"""A trace for the terminal: a tree of files, in red what is not the file that the number was made from."""

from itertools import groupby

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ..report.tables import HEADINGS
from .cell import Trace, TracedRun
from .files import TracedFile

_DIGITS = 12  # of a hash
_MEANING = {
    "changed": "changed: this number was not made from the file that lies here now",
    "missing": "missing: the file that this number was made from is not here",
}
_COLOURS = {"as recorded": "green", "not recorded": "yellow"}


def show(trace: Trace, console: Console) -> None:
    """Print a trace, and under it whether all its files are those that were recorded."""
    console.print(_tree(trace))
    files = {file.path: file for file in trace.all_files()}.values()
    wrong = [file for file in files if not file.fits]
    if wrong:
        verdict = Text(f"{len(wrong)} of {len(files)} files: not what this number was made from.", "bold red")
    else:
        verdict = Text(f"All {len(files)} files are those that this number was made from.", "green")
    console.print(verdict)


def _tree(trace: Trace) -> Tree:
    figures = ", ".join(
        f"{HEADINGS[name]} {mean:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")
        for name, (mean, deviation) in trace.figures.items()
    )
    title = f"{trace.table}: {trace.method} on {trace.dataset}, {trace.shots} shots: {figures}"
    tree = Tree(Text(title, "bold"))
    packages = ", ".join(f"{name} {version}" for name, version in trace.versions.items())
    tree.add(Text(f"configuration {trace.config_sha256[:_DIGITS]} (whole in {trace.origin})"))
    tree.add(Text(f"table made at commit {trace.commit}, with {packages}"))
    shown: set[str] = set()
    for file in trace.files:
        _add(tree, file, trace, shown)
    if trace.no_mlflow:
        tree.add(Text(f"no MLflow runs: {trace.no_mlflow}", "yellow"))
    for run in trace.runs:
        _add(tree.add(_run_line(run, trace)), run.metrics, trace, shown)
    return tree


def _run_line(run: TracedRun, trace: Trace) -> Text:
    figures = ", ".join(f"{HEADINGS[name]} {value:.2f}" for name, value in run.figures.items())
    seed = "no seed: nothing is learned" if run.seed is None else f"seed {run.seed}"
    line = Text(f"{run.dataset}, {seed}: {figures}")
    return line if trace.no_mlflow else line.append(" (").append(*_imported(run)).append(")")


def _imported(run: TracedRun) -> tuple[str, str]:
    """The run in MLflow, and the style to print it in."""
    if run.mlflow is None:
        return "no MLflow run was imported", ""
    named = f"MLflow run {run.mlflow}"
    if run.mlflow_fits is None:
        return f"{named}, of which is not known whether it holds this result", "yellow"
    if run.mlflow_fits:
        return named, ""
    return f"{named}, imported before this result: `snakemake track` imports it again", "yellow"


def _add(tree: Tree, file: TracedFile, trace: Trace, shown: set[str]) -> None:
    """Add a file with its inputs; those of a file that stands further up already are not repeated."""
    again = bool(file.inputs) and file.path in shown and file.what != "metrics"
    branch = tree.add(_line(file, trace, again))
    shown.add(file.path)
    if again:
        return
    for (what, state), group in groupby(file.inputs, key=lambda one: (one.what, one.state)):
        alike = list(group)
        if what == "shard" and state == "as recorded":
            branch.add(Text(f"{len(alike)} shard{'s' * (len(alike) > 1)} as recorded", "green"))
        else:
            for one in alike:
                _add(branch, one, trace, shown)


def _line(file: TracedFile, trace: Trace, again: bool) -> Text:
    """What a file is, where it lies, its hash, whether that is the recorded one, and with which packages."""
    line = Text(f"{file.what}  {file.path}  ")
    if file.found:
        line.append(f"{file.found[:_DIGITS]}  ", "dim")
    if file.fits:
        line.append(file.state, _COLOURS[file.state])
    else:
        recorded = f" (recorded: {file.recorded[:_DIGITS]})" if file.recorded else ""
        line.append(_MEANING[file.state] + recorded, "bold red")
    others = {
        name: version
        for name, version in file.facts.get("versions", {}).items()
        if trace.versions.get(name) != version
    }
    if others:
        line.append("  made with " + ", ".join(f"{name} {version}" for name, version in others.items()))
    return line.append("  (inputs as above)", "dim") if again else line
