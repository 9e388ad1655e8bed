"""A plan for the terminal."""

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from .estimate import Basis, Plan, Stage


def show(plan: Plan, console: Console) -> None:
    """Print a plan as a table of stages, and under it what its numbers rest on."""
    table = Table(show_footer=True, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, (heading, total) in enumerate(_cells(plan, plan.total).items()):
        justify = "right" if index else "left"
        table.add_column(heading, footer=total, justify=justify, footer_style="bold", no_wrap=True)
    for stage in plan.stages:
        table.add_row(*_cells(plan, stage).values())
    console.print(table)
    lines = _notes(plan)
    if plan.ablation:
        cells = _cells(plan, plan.ablation)
        amounts = [f"{cell} {heading}" for heading, cell in cells.items() if cell and heading != "stage"]
        lines = [f"`snakemake ablation` takes, beyond these: {', '.join(amounts)}.", "", *lines]
    for line in ("", *lines):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _cells(plan: Plan, stage: Stage) -> dict[str, str]:
    """A stage's row, by the headings of the columns: no hours where all steps were measured on a GPU."""
    return {
        "stage": stage.name,
        "jobs": f"{stage.jobs:,}",
        "PFLOP": _number(stage.flops and stage.flops / 1e15),
        **({"hours": _number(stage.hours)} if plan.basis else {}),
        "GPU hours": _number(stage.gpu_hours),
        "disk": decimal(stage.disk_bytes) if stage.disk_bytes else "",
    }


def _number(value: float | None) -> str:
    """Three digits where there are as many; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 or not value else "< 0.01"


def _notes(plan: Plan) -> list[str]:
    assumed = (
        f"at {plan.tflops or 0:g} TFLOP/s achieved, which is assumed (--tflops): nothing was measured on a "
        "GPU. Steps of few images may reach less, bfloat16 more."
    )
    notes = [
        *([f"hours: {_basis(plan.basis)}"] if plan.basis else []),
        f"GPU hours: {_basis(plan.gpu_basis) if plan.gpu_basis else assumed}",
        "Not in hours: loading images and models, and the start of every job's process, some seconds each.",
        "disk: lookups, looked-up features and stored regions; not data sets, prompts and predictions.",
        _downloads(plan),
    ]
    return notes + [f"Not known, so missing above: {what}." for what in plan.unknown]


def _basis(basis: Basis) -> str:
    others = f" ({', '.join(basis.not_measured)}: at that of the others)" if basis.not_measured else ""
    return (
        f"at the throughput of steps measured with {'; '.join(basis.machines)}, scaled by operations{others}."
    )


def _downloads(plan: Plan) -> str:
    loads, text = plan.downloads, f"Downloads, if nothing is there yet: {decimal(plan.downloads.bytes)}"
    for names, said in (
        (loads.unknown, f", and {len(loads.unknown)} files of unknown size ({{}})"),
        (loads.by_hand, "; to be placed by hand: {}"),
        (loads.drawn, "; drawn here: {}"),
        (plan.weights, ". Weights come on top: {}"),
    ):
        text += said.format(", ".join(names)) if names else ""
    return f"{text}."
