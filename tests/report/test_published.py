"""Published numbers: where they stand beside ours, and that the shipped files are true copies."""

from pathlib import Path

import pandas as pd
import pytest
from report_runs import FEW, HALVES, TRANSFER, ask

from promptdistill.errors import UserError
from promptdistill.report.summary import read_published, select, summarise

SHIPPED = Path(__file__).parents[2] / "config" / "published"
HEADER = "method,dataset,shots,base,novel,hm,backbone,source\n"


@pytest.fixture
def beside(tmp_path):
    """What stands beside our cells: (dataset, method, metric) -> row of the summary."""

    def compare(text, metrics=HALVES, request=None):
        path = tmp_path / "published.csv"
        path.write_text(text)
        request = request or ask()
        cells = summarise(select(metrics, request), request, path)
        found = cells[cells["published"].notna()].to_dict("records")
        return {(row["dataset"], row["method"], row["metric"]): row for row in found}

    return compare


def test_difference_and_flag(beside):
    found = beside(
        HEADER
        + "coop,a,16,73.5,50.01,59,ViT-B-16:openai,paper\nzero_shot,a,0,10,40,50,ViT-B-16:openai,paper\n"
    )
    base = found["a", "coop", "base"]  # ours: 72 with a deviation of 1
    assert (base["published"], base["difference"], base["outside"]) == (73.5, -1.5, False)
    novel = found["a", "coop", "novel"]  # ours: 50 with no deviation over seeds at all
    assert (round(novel["difference"], 9), novel["outside"]) == (-0.01, True)
    clip = found["a", "zero_shot", "base"]  # one run has no deviation to be outside of
    assert (clip["difference"], clip["outside"]) == (50, False)
    assert len(found) == 6


def test_more_than_two_deviations_are_outside(beside):
    found = beside(
        HEADER + "coop,a,16,74,50,59,ViT-B-16:openai,paper\ncoop,b,16,90,64.01,7,ViT-B-16:openai,paper\n"
    )
    assert not found["a", "coop", "base"]["outside"]  # exactly two
    assert found["b", "coop", "novel"]["outside"]  # ours: 62, deviation 1


@pytest.mark.parametrize(
    "row",
    [
        "coop,a,8,73,50,59,ViT-B-16:openai,p",
        "coop,a,16,73,50,59,RN50,p",
        "maple,a,16,1,1,1,ViT-B-16:openai,p",
    ],
)
def test_other_shots_backbones_and_methods_do_not_stand_beside(beside, row):
    assert beside(HEADER + row + "\n") == {}


def test_a_backbone_is_the_same_with_quickgelu(beside):
    metrics = [{**row, "student": "ViT-B-16-quickgelu:openai"} for row in HALVES]
    assert len(beside(HEADER + "coop,a,16,73,50,59,ViT-B-16:openai,p\n", metrics)) == 3


@pytest.mark.parametrize("student", ["ViT-B-16:laion2b_s34b_b88k", "ViT-B-16:random", "ViT-B-16:weights.pt"])
def test_other_weights_of_the_same_architecture_are_no_backbone(beside, student):
    metrics = [{**row, "student": student} for row in HALVES]
    assert beside(HEADER + "coop,a,16,73,50,59,ViT-B-16:openai,p\n", metrics) == {}


@pytest.mark.parametrize("others", ["a", "a c", "a b c"])
def test_an_average_stands_only_beside_one_over_the_same_data_sets(beside, others):
    request = ask("few_shot", shots=(1, 4), seeds=(1, 2))
    header = "method,dataset,shots,accuracy,backbone,averaged\n"
    assert beside(header + f"coop,average,4,60,ViT-B-16:openai,{others}\n", FEW, request) == {}
    found = beside(header + "coop,average,4,60,ViT-B-16:openai,b a\n", FEW, request)
    assert found["average", "coop", "accuracy"]["difference"] == 5.5


def test_a_mean_over_some_of_the_seeds_is_not_compared(beside):
    assert beside(HEADER + "coop,a,16,73,50,59,ViT-B-16:openai,p\n", HALVES[:4]) == {}


def test_a_transfer_stands_only_beside_one_from_the_same_source(beside):
    header = "method,dataset,shots,accuracy,backbone,trained_on\n"
    request = ask("cross_dataset")
    assert beside(header + "coop,a,16,60,ViT-B-16:openai,imagenet\n", TRANSFER, request) == {}
    assert len(beside(header + "coop,a,16,60,ViT-B-16:openai,s\n", TRANSFER, request)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense\n", "lacks the columns method, dataset, shots, backbone, base, novel, hm"),
        ("", "is not a CSV file"),
        (HEADER + "coop,a,16,x,50,59,ViT-B-16:openai,p\n", "must be numbers"),
        (HEADER + "coop,a,16,1,2,3,ViT-B-16:openai,p\n" * 2, "gives coop on a twice"),
    ],
)
def test_unusable_files_are_refused(beside, text, message):
    with pytest.raises(UserError, match=message):
        beside(text)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_published(tmp_path / "none.csv", ("accuracy",))


@pytest.mark.parametrize("table", ["base_to_novel", "few_shot", "cross_dataset"])
def test_shipped_files_are_the_published_ones(shared, table):
    original = pd.read_csv(shared / "published" / f"{table}.csv").replace({"method": {"clip": "zero_shot"}})
    shipped = pd.read_csv(SHIPPED / f"{table}.csv")
    pd.testing.assert_frame_equal(shipped[list(original.columns)], original)
    if "shots" not in original:
        assert shipped["shots"].eq(0).equals(shipped["method"] == "zero_shot")
    assert set(shipped["backbone"]) == {"ViT-B-16:openai"}
    assert shipped["averaged"].notna().equals(shipped["dataset"] == "average")


@pytest.mark.parametrize("table", ["base_to_novel", "cross_dataset"])
def test_shipped_averages_are_over_the_data_sets_that_they_say(table):
    shipped = pd.read_csv(SHIPPED / f"{table}.csv")
    singles = shipped[shipped["dataset"] != "average"].groupby("method")["dataset"].agg(set)
    averages = shipped[shipped["dataset"] == "average"].set_index("method")["averaged"]
    assert (averages.loc[singles.index].str.split().map(set) == singles).all()
