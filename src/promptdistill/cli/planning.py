"""The command that says what an experiment takes, before anything runs."""

from pathlib import Path

import click

from .. import config as configuration
from ..errors import UserError
from .group import main
from .options import PATH

_TFLOPS = 10.0  # about half of what an A100 can do at most in float32 (19.5)


@main.command()
@click.option("--config", "config_file", type=PATH, default=Path("config/config.yaml"), show_default=True)
@click.option("--config-dir", type=PATH, default=Path("config"), show_default=True)
@click.option(
    "--tflops",
    type=click.FloatRange(0, min_open=True),
    help="Operations that a GPU achieves, in 10^12 a second, where no step was measured on one.  "
    f"[default: {_TFLOPS:g}]",
)
@click.option("--measured", type=PATH, help="CSV of benchmarks/steps.py: your machine's pace.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(
    config_file: Path, config_dir: Path, tflops: float | None, measured: Path | None, as_json: bool
) -> None:
    """Say how many jobs, hours, bytes of disk and downloads an experiment takes; nothing is run."""
    from rich.console import Console

    from ..planning import estimate, throughput
    from ..planning.experiment import Experiment
    from ..planning.show import show

    config = configuration.load(configuration.read_yaml(config_file), config_dir)
    steps = throughput.read_measured(measured or throughput.SHIPPED)
    if tflops and any(step.on_gpu for step in steps):
        raise UserError(f"--tflops: {measured or throughput.SHIPPED} has steps measured on a GPU: drop it.")
    made = estimate.plan(Experiment(config, config_dir), steps, tflops or _TFLOPS)
    if as_json:
        click.echo(made.model_dump_json(indent=1))
    else:
        show(made, Console())
