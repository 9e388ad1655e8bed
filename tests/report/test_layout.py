"""Tables as text: columns, empty cells, marks, ranks and the legend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import BOTH, FEW, HALVES, TRANSFER, ask, few, halves, transfer

from promptdistill.report.gains import gains
from promptdistill.report.summary import select, summarise
from promptdistill.report.tables import Cell, Published, build


def table_of(metrics, request, published=None):
    cells = summarise(select(metrics, request), request, published)
    return build(cells, gains(cells, request), request)


def texts(row):
    return [cell.value for cell in row.cells]


def row_of(block, title):
    return next(row for row in block.rows if row.title.rstrip(" †‡") == title)


def ranks(block, column):
    return [row.cells[column].rank for row in block.rows]


def test_base_to_novel_has_a_block_a_data_set_with_the_average_first():
    table = table_of(HALVES, ask())
    assert [block.title for block in table.blocks] == ["average", "a", "b"]
    assert table.blocks[1].columns == ["Base", "Novel", "HM"]
    assert texts(row_of(table.blocks[1], "CoOp")) == ["72.00 ± 1.00", "50.00 ± 0.00", "59.02 ± 0.34"]
    assert texts(row_of(table.blocks[1], "CLIP")) == ["60.00", "40.00", "48.00"]


def test_few_shot_has_a_column_for_every_number_of_shots():
    table = table_of(FEW, ask("few_shot", shots=(1, 4), seeds=(1, 2)))
    assert table.blocks[0].columns == ["K = 0", "K = 1", "K = 4"]
    assert texts(row_of(table.blocks[1], "CLIP")) == ["50.00", "", ""]
    assert texts(row_of(table.blocks[1], "CoOp")) == ["", "62.50 ± 0.71", "65.50 ± 0.71"]
    assert texts(row_of(table.blocks[1], "CoOp + CasPL")) == ["", "", "71.50 ± 0.71"]
    learning = [row for row in FEW if row["shots"]]
    without = table_of(learning, ask("few_shot", shots=(1, 4), seeds=(1, 2)))
    assert without.blocks[0].columns == ["K = 1", "K = 4"]


@pytest.mark.parametrize("table", ["cross_dataset", "domain_generalization"])
def test_transfer_has_one_block_from_the_source_to_the_average(table):
    (block,) = table_of(TRANSFER, ask(table)).blocks
    assert block.columns == ["s (source)", "a", "b", "average of targets"]
    assert texts(row_of(block, "CoOp")) == ["92.00 ± 1.00", "62.00 ± 1.00", "42.00 ± 1.00", "52.00 ± 1.00"]
    assert texts(row_of(block, "CLIP")) == ["", "55.00", "", ""]


def test_without_a_complete_seed_there_is_no_block_of_averages():
    assert [block.title for block in table_of(HALVES[2:5], ask()).blocks] == ["a", "b"]


def test_best_and_second_and_ties_as_displayed():
    titles = {name: name for name in ("one", "two", "three", "four")}
    values = {"one": 60.001, "two": 60.004, "three": 59.0, "four": 58.0}
    metrics = [transfer("a", name, 1, value) for name, value in values.items()]
    (block,) = table_of(metrics, ask("cross_dataset", ("a",), titles=titles, seeds=(1,))).blocks
    assert ranks(block, 1) == [1, 1, 2, None]  # 60.00 twice


def test_a_column_of_one_is_not_ranked():
    block = table_of(TRANSFER, ask("cross_dataset", titles={"coop": "CoOp"})).blocks[0]
    assert ranks(block, 0) == [None]


def test_partial_means_are_marked_and_not_ranked():
    block = table_of(HALVES, ask()).blocks[2]
    partial = row_of(block, "CoOp + CasPL").cells[0]
    assert (partial.value, partial.note, partial.rank) == ("90.00 ± 0.00", "2 of 3 seeds", None)
    assert row_of(block, "CoOp").cells[0].rank == 1
    one_seed = [few("a", "coop", 4, 1, 60), few("a", "zero_shot", 0, None, 50)]
    block = table_of(one_seed, ask("few_shot", ("a",), shots=(4,))).blocks[1]
    assert row_of(block, "CoOp").cells[1] == Cell("60.00", note="1 of 3 seeds")


def test_marks_stand_behind_the_method_where_all_its_cells_share_them():
    table = table_of(HALVES, ask())
    assert [row.title for row in table.blocks[0].rows] == ["CLIP", "CoOp", "CoOp + CasPL †"]
    assert {cell.mark for row in table.blocks[0].rows for cell in row.cells} == {""}
    named = [{**row, "transductive": "class names"} for row in HALVES if row["method"] == "coop"]
    assert row_of(table_of(named, ask()).blocks[1], "CoOp").title == "CoOp ‡"


def test_marks_of_a_transfer_stand_in_the_cells():
    (block,) = table_of(TRANSFER, ask("cross_dataset")).blocks
    assert [cell.mark for cell in row_of(block, "CoOp + CasPL").cells] == ["†", "‡", "", "‡"]
    assert [row.title for row in block.rows] == ["CLIP", "CoOp", "CoOp + CasPL"]


def test_published_numbers_stand_behind_ours(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(
        "method,dataset,shots,accuracy,backbone\ncoop,a,16,59.5,ViT-B-16:openai\ncoop,b,16,42.59,ViT-B-16:openai\n"
    )
    (block,) = table_of(TRANSFER, ask("cross_dataset"), path).blocks
    cells = row_of(block, "CoOp").cells
    assert cells[1].published == Published("59.50", "+2.50", outside=True)
    assert cells[2].published == Published("42.59", "−0.59", outside=False)
    assert cells[0].published is None
    path.write_text("method,dataset,shots,base,novel,hm,backbone\ncoop,a,16,,51.5,,ViT-B-16:openai\n")
    cells = row_of(table_of(HALVES, ask(), path).blocks[1], "CoOp").cells
    assert [cell.published for cell in cells] == [None, Published("51.50", "−1.50", outside=True), None]


def test_gains_stand_in_a_block_of_their_own():
    table = table_of(TRANSFER, ask("cross_dataset"))
    assert table.gains.columns == ["average of targets"]
    (row,) = table.gains.rows
    assert row.title == "CoOp + CasPL"
    assert row.cells == [Cell("+1.50", note="1/0/1, p = 1.000")]  # +4 and -1 points
    few_shot = table_of(FEW, ask("few_shot", shots=(1, 4), seeds=(1, 2))).gains
    assert few_shot.columns == ["K = 1", "K = 4"]
    assert texts(few_shot.rows[0]) == ["", "+6.00"]
    assert table_of(HALVES, ask(titles={"coop": "CoOp"})).gains is None


def test_the_legend_explains_what_occurs_and_nothing_else(tmp_path):
    plain = [transfer("a", "coop", 1, 50), transfer("b", "coop", 1, 50)]
    assert table_of(plain, ask("cross_dataset", seeds=(1,))).legend == []
    legend = " ".join(table_of(TRANSFER, ask("cross_dataset")).legend)
    for sign in ("Bold", "†", "‡", "An average bears", "Gain:", "n = 2", "p:", "less than 0.5"):
        assert sign in legend
    assert not any(sign in legend for sign in ("⚑", "[published", "some seeds are missing"))
    path = tmp_path / "published.csv"
    path.write_text("method,dataset,shots,accuracy,backbone\ncoop,a,16,59.5,ViT-B-16:openai\n")
    legend = " ".join(table_of(TRANSFER, ask("cross_dataset"), path).legend)
    assert all(sign in legend for sign in ("⚑", "[published"))
    legend = " ".join(table_of(TRANSFER[:-1], ask("cross_dataset", seeds=(1, 2, 3, 4))).legend)
    assert "some seeds are missing" in legend
    assert "Gain:" not in legend


@given(
    st.sets(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["coop", "coop+caspl"]), st.integers(1, 3)),
        min_size=1,
    )
)
def test_missing_cells_are_empty_and_never_zero(present):
    metrics = [halves(name, method, seed, 50, 60, transductive=BOTH) for name, method, seed in present]
    for block in table_of(metrics, ask()).blocks:
        for row in block.rows:
            for cell in row.cells:
                assert cell == Cell() or float(cell.value.split()[0]) >= 50
    shown = {block.title: block for block in table_of(metrics, ask()).blocks}
    for name in "ab":
        for method, title in (("coop", "CoOp"), ("coop+caspl", "CoOp + CasPL")):
            has = any(run[:2] == (name, method) for run in present)
            assert bool(row_of(shown[name], title).cells[0].value) == has
