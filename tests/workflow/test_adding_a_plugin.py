"""docs/adding-a-plugin.md, followed to the letter."""

import re

from running import FAST, ROOT, run_snakemake

PAGE = (ROOT / "docs/adding-a-plugin.md").read_text()
METHODS = re.search(r'snakemake --cores all --config "methods=\[(.*?)\]"', PAGE)[1]


def test_the_pages_plugin_stands_in_the_table(project):
    """Alone, cascaded, and as a variant."""
    files = re.findall(r"^`([\w./]+)`\n\n```(?:python|yaml)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files] == [
        "src/promptdistill/plugins/pseudo.py",
        "config/plugins/pseudo.yaml",
    ]
    for name, content in files:
        (project / name).write_text(content)
    done = run_snakemake(
        *("--cores", 2, "--configfile", FAST),
        *("--config", f"methods=[{METHODS}, coop+pseudo@sharp]"),
        *("overrides={boosting: {prompt_depth: 3, epochs: 1}, coop: {epochs: 2}}",),
        cwd=project,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    table = (project / "results/tables/base_to_novel.md").read_text()
    titles = (
        "CoOp + pseudo-labels",
        "CoOp + CasPL + pseudo-labels †",
        "CoOp + pseudo-labels (without smoothing)",
    )
    for title in titles:
        assert re.search(rf"^\| (\*\*)?{re.escape(title)}(\*\*)? \|", table, re.MULTILINE)
