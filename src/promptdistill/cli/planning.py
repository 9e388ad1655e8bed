"""The command that says what an experiment takes, before anything runs."""

from pathlib import Path

import click

from ..errors import UserError
from ..experiment import Experiment
from .options import PATH, main, with_experiment

_TFLOPS = 10.0  # about half of what an A100 can do at most in float32 (19.5)


@main.command()
@with_experiment
@click.option(
    "--tflops",
    type=click.FloatRange(0, min_open=True),
    help="Operations that a GPU achieves, in 10^12 a second, where no step was measured on one.  "
    f"[default: {_TFLOPS:g}]",
)
@click.option("--measured", type=PATH, help="CSV of benchmarks/steps.py: your machine's throughput.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(experiment: Experiment, tflops: float | None, measured: Path | None, as_json: bool) -> None:
    """Say how many jobs, hours, bytes of disk and downloads an experiment takes; nothing is run."""
    from rich.console import Console

    from ..planning import estimate, throughput
    from ..planning.show import show

    steps = throughput.read_measured(measured or throughput.SHIPPED)
    if tflops and any(step.on_gpu for step in steps):
        raise UserError(f"--tflops: {measured or throughput.SHIPPED} has steps measured on a GPU: drop it.")
    made = estimate.plan(experiment, steps, tflops or _TFLOPS)
    if as_json:
        click.echo(made.model_dump_json(indent=1))
    else:
        show(made, Console())
