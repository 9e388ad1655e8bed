"""Published numbers: where they stand beside ours, and that the shipped files are true copies."""

from pathlib import Path

import pandas as pd
import pytest
from report_runs import FEW, HALVES, TRANSFER, ask, halves, transfer

from promptdistill.errors import UserError
from promptdistill.report.summary import read_published, select, summarise

SHIPPED = Path(__file__).parents[2] / "config" / "published"
ELEVEN = tuple(
    "imagenet caltech101 oxford_pets stanford_cars oxford_flowers food101 fgvc_aircraft sun397 dtd eurosat "
    "ucf101".split()
)
DOMAINS = ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")
KDPL = ["base_to_novel", "cross_dataset", "domain_generalization"]  # tables with numbers of KDPL's
BACKBONES = {"RN50": "RN50:openai", "ViT-B/32": "ViT-B-32:openai", "ViT-H/14": "ViT-H-14:dfn5b"}
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


def test_a_metric_that_was_not_published_stands_beside_nothing(beside):
    """As in KDPL's averages, which are of novel accuracy alone."""
    found = beside(HEADER + "coop,a,16,,51.5,,ViT-B-16:openai,p\n")
    assert list(found) == [("a", "coop", "novel")]
    assert found["a", "coop", "novel"]["difference"] == -1.5


@pytest.mark.parametrize(
    ("student", "novel"),
    [
        ("ViT-B-32:openai", 64.52),
        ("ViT-B-32-quickgelu:openai", 64.52),
        ("RN50:openai", 60.82),
        ("ViT-B-16:openai", 63.22),
        ("RN50:random", None),
    ],
)
def test_shipped_averages_stand_beside_those_of_their_backbone(beside, student, novel):
    """KDPL's are of novel accuracy alone, CasPL's, of ViT-B/16, of all three metrics."""
    runs = [halves(name, "coop", 1, 80, 60, student=student) for name in ELEVEN]
    found = beside((SHIPPED / "base_to_novel.csv").read_text(), runs, ask(datasets=ELEVEN, seeds=(1,)))
    averages = {metric: row["published"] for (name, _, metric), row in found.items() if name == "average"}
    assert averages.get("novel") == novel
    assert set(averages) == {None: set(), 63.22: {"base", "novel", "hm"}}.get(novel, {"novel"})


@pytest.mark.parametrize(
    ("student", "published"),
    [
        ("ViT-B-32:openai", {"coop": 49.26, "zero_shot": 47.78}),
        ("RN50:openai", {"coop": 42.05, "zero_shot": 40.63}),
        ("ViT-B-16:openai", {}),
    ],
)
def test_shipped_domains_stand_beside_those_of_their_backbone(beside, student, published):
    """A method that is not asked for, such as a class-agnostic one, stands nowhere."""
    runs = [
        transfer(name, method, seed, 50, source="imagenet", student=student)
        for name in ("imagenet", *DOMAINS)
        for method, seed in (("coop", 1), ("zero_shot", None))
    ]
    request = ask("domain_generalization", DOMAINS, seeds=(1,), source="imagenet")
    found = beside((SHIPPED / "domain_generalization.csv").read_text(), runs, request)
    assert len(found) == 6 * len(published)
    for method, number in published.items():
        row = found["average", method, "accuracy"]
        assert (row["published"], row["difference"]) == (number, pytest.approx(50 - number))


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
    assert set(shipped["backbone"]) <= {"ViT-B-16:openai", *BACKBONES.values()}
    shipped = shipped[shipped["backbone"] == "ViT-B-16:openai"]
    pd.testing.assert_frame_equal(shipped[list(original.columns)].reset_index(drop=True), original)
    if "shots" not in original:
        assert shipped["shots"].eq(0).equals(shipped["method"] == "zero_shot")
    assert shipped["averaged"].notna().equals(shipped["dataset"] == "average")


@pytest.mark.parametrize("table", KDPL)
def test_shipped_rows_are_those_of_kdpl(shared, table):
    """Cell by cell as text, with names of our own."""
    text = pd.read_csv(shared / "published" / "kdpl_fdbpl.csv", dtype=str, keep_default_na=False)
    own = text[text["table"] == table].replace(
        {
            "method": {"clip": "zero_shot", "clip_teacher": "zero_shot"},
            "backbone": BACKBONES,
            "dataset": {"average_of_four": "average"},
        }
    )
    own["method"] = own["method"].str.replace("+kdpl_ca", "+kdpl@agnostic")
    shipped = pd.read_csv(SHIPPED / f"{table}.csv", dtype=str, keep_default_na=False)
    shipped = shipped[shipped["backbone"].isin(BACKBONES.values())]
    columns = [name for name in own if name in shipped]
    assert set(own.columns) - set(columns) <= {"table", "base", "novel", "hm", "accuracy"}
    assert shipped[columns].to_numpy().tolist() == own[columns].to_numpy().tolist()
    learns = shipped["method"] != "zero_shot"
    assert shipped["shots"].tolist() == ["16" if one else "0" for one in learns]
    assert shipped["averaged"].ne("").equals(shipped["dataset"] == "average")
    if "trained_on" in shipped:
        assert shipped["trained_on"].tolist() == ["imagenet" if one else "" for one in learns]


@pytest.mark.parametrize("table", KDPL)
def test_shipped_averages_are_over_the_data_sets_that_they_say(table):
    """Of the targets, where there is a source: KDPL's are those of their cells, as rounded."""
    shipped = pd.read_csv(SHIPPED / f"{table}.csv")
    average, target = shipped["dataset"] == "average", shipped["dataset"] != "imagenet"
    singles = shipped[~average & (target | (table == "base_to_novel"))]
    averages = shipped[average].set_index(["backbone", "method"])
    assert averages.index.is_unique
    for key, own in singles.groupby(["backbone", "method"]):
        assert set(averages.loc[key, "averaged"].split()) == set(own["dataset"])
        if "accuracy" in shipped:
            assert averages.loc[key, "accuracy"] == pytest.approx(own["accuracy"].mean(), abs=0.0101)
