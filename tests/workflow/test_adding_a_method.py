"""docs/adding-a-method.md, followed to the letter."""

import re

from running import FAST, ROOT, run_snakemake

PAGE = (ROOT / "docs/adding-a-method.md").read_text()


def test_the_page_on_adding_a_method(project):
    """Its files are written where it says, and its methods run, also cascaded."""
    files = re.findall(r"^`([\w./]+)`\n\n```(?:python|yaml)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files] == [
        "src/promptdistill/methods/smooth_coop.py",
        "config/methods/smooth_coop.yaml",
    ]
    for name, content in files:
        (project / name).write_text(content)
    methods = re.search(r'snakemake --cores all --config "(.*?)"', PAGE)[1]
    few = "boosting: {prompt_depth: 3, epochs: 1}, smooth_coop: {epochs: 2}, smooth_coop+caspl: {epochs: 2}"
    given = ["--configfile", FAST, "--config", methods, f"overrides={{{few}}}"]
    done = run_snakemake("--cores", 2, *given, cwd=project)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    table = (project / "results/tables/base_to_novel.md").read_text()
    for title in ("CoOp, smoothed", "CoOp, smoothed + CasPL †"):
        assert re.search(rf"^\| (\*\*)?{re.escape(title)}(\*\*)? \|", table, re.MULTILINE)
