"""A plan for the terminal."""

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from .estimate import Plan, Stage


def show(plan: Plan, console: Console) -> None:
    """Print a plan as a table of stages, and under it what its numbers rest on."""
    table = Table(show_footer=True, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    total = _cells(plan.total)
    headings = ("stage", "jobs", "PFLOP", "hours (1)", "GPU hours (2)", "disk (3)")
    for heading, footer in zip(headings, total, strict=True):
        justify = "left" if heading == "stage" else "right"
        table.add_column(heading, footer=footer, justify=justify, footer_style="bold", no_wrap=True)
    for stage in plan.stages:
        table.add_row(*_cells(stage))
    console.print(table)
    for line in ("", *_notes(plan)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _cells(stage: Stage) -> tuple[str, ...]:
    flops = None if stage.flops is None else stage.flops / 1e15
    numbers = (_number(value) for value in (flops, stage.hours, stage.gpu_hours))
    return stage.name, f"{stage.jobs:,}", *numbers, decimal(stage.disk_bytes) if stage.disk_bytes else ""


def _number(value: float | None) -> str:
    """Three digits where there are as many; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 or not value else "< 0.01"


def _notes(plan: Plan) -> list[str]:
    others = f" ({', '.join(plan.not_measured)}: at that of the others)" if plan.not_measured else ""
    on_gpu = any("cuda" in machine for machine in plan.machines)
    notes = [
        f"(1) At the pace of steps measured with {'; '.join(plan.machines)}, scaled by operations{others}.",
        f"(2) At {plan.tflops:g} TFLOP/s achieved, which is assumed (--tflops)"
        f"{'' if on_gpu else ': nothing was measured on a GPU'}. "
        "It is a lower bound: steps of few images leave a GPU waiting.",
        "    Loading images and models is in neither; every job starts a process, which takes some seconds.",
        "(3) Of lookups, looked-up features and stored regions; not of data sets, prompts and predictions.",
        _downloads(plan),
    ]
    return notes + [f"Not known, so missing above: {what}." for what in plan.unknown]


def _downloads(plan: Plan) -> str:
    loads = plan.downloads
    parts = [f"Downloads, if nothing is there yet: {decimal(loads.bytes)}"]
    if loads.unknown:
        parts.append(f", and {len(loads.unknown)} files of unknown size ({', '.join(loads.unknown)})")
    if loads.by_hand:
        parts.append(f"; to be placed by hand: {', '.join(loads.by_hand)}")
    if loads.drawn:
        parts.append(f"; drawn here: {', '.join(loads.drawn)}")
    return "".join(parts) + ". Weights of the models come on top."
