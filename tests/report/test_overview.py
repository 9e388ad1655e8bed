"""The averages that DVC compares."""

import json

import pandas as pd
import pytest

from promptdistill.artifacts import write_sealed
from promptdistill.errors import UserError
from promptdistill.files import sha256
from promptdistill.report.overview import write_overview
from promptdistill.report.record import record_path

HEADER = "dataset,method,title,shots,metric,mean,std\n"


@pytest.fixture
def tables(tmp_path):
    few = tmp_path / "few_shot.csv"
    few.write_text(
        HEADER
        + "garden,coop,CoOp,1,accuracy,10,\n"
        + "average,zero_shot,CLIP,0,accuracy,40,\n"
        + "average,coop,CoOp,1,accuracy,50,\n"
        + "average,coop,CoOp,4,accuracy,60.5,\n"
    )
    base = tmp_path / "base_to_novel.csv"
    base.write_text(
        HEADER
        + "average,coop,CoOp,16,base,70,\n"
        + "average,coop,CoOp,16,novel,60,\n"
        + "average,coop,CoOp,16,hm,64.6,\n"
        + "average,kgcoop,KgCoOp,16,hm,,\n"
    )
    for table in (base, few):
        record(table)
    return [base, few]


def record(table):
    """What the record of a table says of its CSV file."""
    write_sealed(record_path(table), {"files": [{"path": table.name, "sha256": sha256(table)}]})


def test_averages_nest_by_table_method_and_metric(tables, tmp_path):
    """Without data sets' own rows and without averages that could not be made."""
    write_overview(tables, tmp_path / "metrics.json", tmp_path / "averages.csv")
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "base_to_novel": {"coop": {"base": 70, "novel": 60, "hm": 64.6}},
        "few_shot": {
            "zero_shot": {"accuracy_0shots": 40},
            "coop": {"accuracy_1shots": 50, "accuracy_4shots": 60.5},
        },
    }
    bars = pd.read_csv(tmp_path / "averages.csv")
    assert bars.set_index("result")["mean"].to_dict() == {
        "base_to_novel coop hm": 64.6,
        "few_shot zero_shot accuracy_0shots": 40,
        "few_shot coop accuracy_1shots": 50,
        "few_shot coop accuracy_4shots": 60.5,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist: make this table first"),
        (b"", "is not as it was written"),
        (HEADER.encode(), "is not as it was written"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, message):
    path = tmp_path / "base_to_novel.csv"
    if content is not None:
        path.write_text("a,b\n1,2\n")
        record(path)
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        write_overview([path], tmp_path / "metrics.json", tmp_path / "averages.csv")
    assert not (tmp_path / "metrics.json").exists()
