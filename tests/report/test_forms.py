"""The written forms: the same numbers in each, sound markup, the same bytes each time."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from report_runs import EVERY_TABLE, HALVES, TITLES, TRANSFER, ask

from promptdistill.artifacts import write_sealed
from promptdistill.files import read_json, sha256, write_csv
from promptdistill.report.overview import read_table, write_overview
from promptdistill.report.record import record_path
from promptdistill.report.render import forms, markdown, tex, write_table
from promptdistill.report.tables import Block, Cell, Page, Published, Row

ENDINGS = (".csv", "_seeds.csv", "_gains.csv", ".md", ".html", ".tex", ".png")
every_table = pytest.mark.parametrize(
    ("metrics", "request_"), EVERY_TABLE, ids=lambda part: getattr(getattr(part, "table", None), "name", "")
)
RICH = Page(
    title="A_table",
    about="50 % & more.",
    blocks=[
        Block(
            title="one",
            columns=["x", "y"],
            rows=[
                Row(
                    "M|1 †",
                    [Cell("82.10 ± 0.30", 1, "†", "2 of 3 seeds", Published("82.69", "−0.59", True)), Cell()],
                ),
                Row(
                    "M_2",
                    [Cell("80.00", 2, published=Published("79.00", "+1.00", False)), Cell("1.00", mark="‡")],
                ),
            ],
        )
    ],
    gains=None,
    legend=["⚑ explained."],
    note="A <note>.",
    provenance="made of #1",
)


def numbers(text):
    return re.findall(r"[−-]?\d+\.\d\d\b", text)


def plain_tex(text):
    """The numbers' part of LaTeX without its markup."""
    return text.replace("$-$", "−").replace("$-", "$−").replace("tabcolsep}{3pt}", "")


def tables_of(text, start, end):
    """What lies between the first start and the last end of tables."""
    return text[text.index(start) : text.rindex(end)]


@every_table
def test_every_form_holds_the_same_numbers(metrics, request_, tmp_path):
    write_table(metrics, request_, tmp_path / "t")
    markdown, html, latex = ((tmp_path / f"t.{ending}").read_text() for ending in ("md", "html", "tex"))
    in_markdown = numbers(tables_of(markdown, "| Method", "|\n"))
    assert len(in_markdown) > 10
    assert numbers(tables_of(html, "<table>", "</table>")) == in_markdown
    assert numbers(plain_tex(tables_of(latex, "\\begin{tabular}", "\\end{tabular}"))) == in_markdown
    means = pd.read_csv(tmp_path / "t.csv")["mean"]
    assert {f"{mean:.2f}" for mean in means} <= set(in_markdown)


@every_table
def test_all_files_are_written_with_the_same_bytes_each_time(metrics, request_, tmp_path):
    for folder in ("one", "two"):
        write_table(metrics, request_, tmp_path / folder / "v1.2", note="A note.", config_hash="abc")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(f"v1.2{e}" for e in ENDINGS)
    for ending in ENDINGS:
        first, second = ((tmp_path / folder / f"v1.2{ending}").read_bytes() for folder in ("one", "two"))
        assert first == second, ending


def test_a_cell_in_markdown():
    text = forms(RICH, b"")["md"]
    assert "| M\\|1 † | **82.10 ± 0.30** † (2 of 3 seeds) [82.69, −0.59⚑] |  |\n" in text
    assert "| M_2 | <u>80.00</u> [79.00, +1.00] | 1.00 ‡ |\n" in text
    assert "A \\<note>." in text
    assert "\n\n\n" not in text


EVIL = [
    "<script>alert(1)</script>",
    "a|b\\|c \\",
    "`code` *a* **b** _c_ __d__ ~~e~~ f_g",
    "[link](javascript:x) ![picture](x)",
    "two\nlines\n\n# and more",
    "&lt; &#60; & < 0.001 $x$",
    "# 1. - > +",
]


@pytest.mark.parametrize("name", EVIL)
def test_names_are_text_in_markdown(name):
    """As a renderer shows them: wherever a name can stand, nothing of it is markup."""
    page = RICH._replace(
        title=name,
        about=name,
        blocks=[Block(name, [name], [Row(name, [Cell("1.00")])])],
        legend=[name],
        note=name,
        provenance=name,
    )
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(forms(page, b"")["md"])
    inline = [token.children for token in tokens if token.type == "inline"]
    assert {child.type for children in inline for child in children} <= {"text", "text_special"}
    shown = ["".join(child.content for child in children) for children in inline]
    plain = " ".join(name.split())
    assert shown == [plain, plain, plain, "Method", plain, plain, "1.00", plain, plain, plain]
    assert not any(token.type in ("html_block", "blockquote_open", "fence") for token in tokens)


def test_what_means_nothing_to_markdown_is_left_as_it_is():
    for plain in (
        "mini_shapes",
        "p < 0.001",
        "12.30 ± 0.40 (2/0/1)",
        "A & B",
        "CoOp + CasPL",
        "τ = 0.5, 8 %",
    ):
        assert markdown(plain) == plain


def test_text_in_csv_is_no_formula(tmp_path):
    """Numbers below zero are numbers; a cascaded method's plus stands within."""
    names = ["=1+1", "+x", "-x", "@x", "\t=x", "\r=x"]
    frame = pd.DataFrame({"title": [*names, "CoOp + CasPL"], "method": "coop+caspl", "gain": -1.2, "p": None})
    write_csv(tmp_path / "t.csv", frame, float_format="%.4f")
    read = pd.read_csv(tmp_path / "t.csv")
    assert read["title"].tolist() == [*(f"'{name.strip()}" for name in names), "CoOp + CasPL"]
    assert (set(read["method"]), set(read["gain"])) == ({"coop+caspl"}, {-1.2})
    assert "coop+caspl,-1.2000,\n" in (tmp_path / "t.csv").read_text()


def test_a_table_with_such_titles_is_read_again(tmp_path):
    titles = TITLES | {"coop": "=cmd|' /C calc'!A0", "zero_shot": "<b>\nx"}
    table = tmp_path / "base_to_novel.csv"
    write_table(HALVES, ask(titles=titles), tmp_path / "base_to_novel")
    write_sealed(record_path(table), {"files": [{"path": table.name, "sha256": sha256(table)}]})
    read = read_table(table)
    assert list(dict.fromkeys(read["title"])) == ["<b> x", "'=cmd|' /C calc'!A0", "CoOp + CasPL"]
    write_overview([table], tmp_path / "metrics.json", tmp_path / "averages.csv")
    averages = read_json(tmp_path / "metrics.json")["base_to_novel"]
    assert list(averages) == ["zero_shot", "coop", "coop+caspl"]
    assert (tmp_path / "averages.csv").read_text().startswith("result,mean\nbase_to_novel zero_shot hm,")


def test_a_cell_in_html():
    text = forms(RICH, b"png")["html"]
    cell = (
        "<td><strong>82.10 ± 0.30</strong> † <small>(2 of 3 seeds)</small> "
        "<small>[82.69, −0.59⚑]</small></td><td></td>"
    )
    assert cell in text
    assert "<u>80.00</u> <small>[79.00, +1.00]</small>" in text
    assert "A &lt;note&gt;." in text
    assert 'src="data:image/png;base64,cG5n"' in text
    assert text.startswith("<!doctype html>")


def test_a_cell_in_latex():
    text = forms(RICH, b"")["tex"]
    cell = (
        r"M\textbar{}1 $^{\dagger}$ & \textbf{82.10 $\pm$ 0.30}$^{\dagger}$ (2 of 3 seeds) "
        r"{\scriptsize [$82.69$, $-0.59^{\ast}$]} &  \\"
    )
    assert cell in text
    assert r"M\_2 & \underline{80.00} {\scriptsize [$79.00$, $+1.00$]} & 1.00$^{\ddagger}$ \\" in text
    assert r"\caption{A\_table: one. 50 \% \& more.}" in text
    assert r"A $<$note$>$." in text
    assert text.startswith("% Needs \\usepackage{booktabs}.")


def test_what_means_something_to_latex_is_escaped():
    assert tex(r"50% & #1_a $x^2 ~ {b} \c") == (
        r"50\% \& \#1\_a \$x\textasciicircum{}2 \textasciitilde{} \{b\} \textbackslash{}c"
    )


@every_table
def test_latex_is_balanced_and_its_rows_are_even(metrics, request_, tmp_path):
    write_table(metrics, request_, tmp_path / "t", note="50% & more_of {it}")
    text = (tmp_path / "t.tex").read_text()
    assert text.replace(r"\{", "").count("{") == text.replace(r"\}", "").count("}")
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    assert opened == [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")] * (
        len(opened) // 4
    )
    for columns, body in re.findall(r"\\begin\{tabular\}\{(l\w+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns) - 1}
        assert [body.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@every_table
def test_latex_compiles(metrics, request_, tmp_path):
    write_table(metrics, request_, tmp_path / "t", note="50% & more_of {it}")
    page = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{t.tex}\end{document}"
    (tmp_path / "page.tex").write_text(page)
    subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page"], cwd=tmp_path, check=True
    )


class Balance(HTMLParser):
    """Follows which elements are open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@every_table
def test_html_is_balanced_and_scrolls_wide_tables(metrics, request_, tmp_path):
    write_table(metrics, request_, tmp_path / "t")
    text = (tmp_path / "t.html").read_text()
    balance = Balance()
    balance.feed(text)
    assert balance.open == []
    assert text.count('<div class="scroll">') == text.count("<table>") >= 2
    assert "http" not in text  # the page needs nothing else


@every_table
def test_every_row_of_markdown_has_as_many_cells_as_its_head(metrics, request_, tmp_path):
    write_table(metrics, request_, tmp_path / "t")
    groups = re.findall(r"(?:^\|.*\n)+", (tmp_path / "t.md").read_text(), re.MULTILINE)
    assert groups
    for group in groups:
        assert len({line.count("|") for line in group.splitlines()}) == 1


def test_footer_says_what_the_table_was_made_with(tmp_path):
    write_table(HALVES, ask(), tmp_path / "t", note="A note.", config_hash="0123456789abcdef")
    for ending in ("md", "html", "tex"):
        text = (tmp_path / f"t.{ending}").read_text()
        for part in ("A note.", "ViT-B-16:openai (aaaaaaaaaaaa)", "configuration 0123456789ab,", "python 3."):
            assert part in text


def test_csv_files_hold_what_tables_show(tmp_path):
    write_table(TRANSFER, ask("cross_dataset"), tmp_path / "t")
    cells = pd.read_csv(tmp_path / "t.csv").set_index(["dataset", "method"])
    assert cells.loc[("average", "coop"), "mean"] == 52
    seeds = pd.read_csv(tmp_path / "t_seeds.csv")
    assert seeds["accuracy"].tolist() == [row["accuracy"] for row in TRANSFER]
    assert "coop,16,1,91.0000" in (tmp_path / "t_seeds.csv").read_text()
    gained = pd.read_csv(tmp_path / "t_gains.csv")
    assert gained[["gain", "wins", "losses"]].values.tolist() == [[1.5, 1, 1]]


def test_without_gains_their_file_has_a_header_only(tmp_path):
    write_table(TRANSFER, ask("cross_dataset", titles={"coop": TITLES["coop"]}), tmp_path / "t")
    header = "method,title,metric,shots,gain,wins,ties,losses,datasets,p\n"
    assert (tmp_path / "t_gains.csv").read_text() == header
