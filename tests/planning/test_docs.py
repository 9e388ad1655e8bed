"""docs/cluster.md shows what the command prints."""

import re
from pathlib import Path

from click.testing import CliRunner

from promptdistill.cli.planning import plan

ROOT = Path(__file__).parents[2]


def test_the_page_shows_the_plan_of_the_published_tables(monkeypatch):
    """Where it does not, paste the output of the command again."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    printed = CliRunner().invoke(plan, ["--config", "config/paper.yaml"], catch_exceptions=False).output
    page = (ROOT / "docs/cluster.md").read_text()
    shown = re.search(r"<!-- plan -->\n```\n(.*?)```", page, re.DOTALL)[1]
    assert [line.rstrip() for line in shown.splitlines()] == [line.rstrip() for line in printed.splitlines()]
