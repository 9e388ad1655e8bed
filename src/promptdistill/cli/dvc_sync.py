"""The commands between Snakemake and DVC."""

import click

from .group import main


@main.command()
@click.option("--remote", help="A remote of `dvc remote list`; left out: the default one.")
def pull(remote: str | None) -> None:
    """Restore versioned results, so that neither DVC nor Snakemake has anything to do."""
    from .. import dvc_sync

    restored = dvc_sync.pull(remote)
    click.echo(f"Restored: {', '.join(restored.layers) or 'nothing'}.")
    if restored.incomplete:
        click.echo(f"Not complete: {', '.join(restored.incomplete)}; `dvc repro` makes what is missing.")
    if restored.without_pictures:
        click.echo(
            f"The pictures of {', '.join(restored.without_pictures)} are not here, and a change may need "
            "them: `snakemake --cores all --until data --forcerun data` fetches or draws them."
        )


@main.command()
def record() -> None:
    """Tell DVC what a finished run of Snakemake made; a run does so itself."""
    from .. import dvc_sync

    dvc_sync.record()
