"""The group of all subcommands, and how it speaks of what is wrong."""

import sys
from typing import Any

import click

from ..errors import UserError


class Group(click.Group):
    """Prints a UserError as one sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; exit with status 1 on a UserError, or a file that cannot be used."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            said = str(error)
        except OSError as error:
            said = f"{error.filename} cannot be used: {error.strerror}." if error.filename else f"{error}."
        click.echo(f"promptdistill: {said}", err=True)
        sys.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="promptdistill")
def main() -> None:
    """Prompt learning for vision-language models with distillation."""
