"""Seconds from measured steps."""

from pathlib import Path

import pytest

from promptdistill.clip.architecture import read_architecture
from promptdistill.config.entries import load_method
from promptdistill.errors import UserError
from promptdistill.planning.flops import ComputeCost, image_flops
from promptdistill.planning.throughput import SHIPPED, Throughput, read_measured

CONFIG_DIR = Path(__file__).parents[2] / "config"
COLUMNS = "method,student,device,threads,precision,gflop,seconds"


def measured(folder, *rows, columns=COLUMNS):
    path = folder / "steps.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def throughput(folder, *rows):
    return Throughput(read_measured(measured(folder, *(f"{row}" for row in rows))))


def test_the_operations_in_the_shipped_file_are_those_that_are_counted():
    header, *lines = (line.split(",") for line in SHIPPED.read_text().splitlines())
    for row in (dict(zip(header, line, strict=True)) for line in lines):
        model = read_architecture(row["student"])
        if row["method"] == "encode":
            flops = image_flops(model).forward
        else:
            entry = load_method(row["method"], CONFIG_DIR)
            values = dict(entry.hyperparameters)
            if "prompt_depth" in values:
                values["prompt_depth"] = min(values["prompt_depth"], model.image.layers)
            cost = ComputeCost.of(entry, values)
            flops = cost.step(model, int(row["classes"]), int(row["batch"]))
        assert float(row["gflop"]) == pytest.approx(flops / 1e9, rel=1e-4)


def test_what_was_measured_is_given_back():
    known = Throughput(read_measured())
    for row in read_measured():
        assert known.seconds(row.method, row.gflop * 1e9) == pytest.approx(row.seconds)


def test_between_and_beyond_measured_steps(tmp_path):
    """Ten times the operations take a hundred times as long between these two, ten times beyond them."""
    known = throughput(tmp_path, "coop,M,cpu,2,float32,1,0.01", "coop,M,cpu,2,float32,100,100")
    assert known.seconds("coop", 10e9) == pytest.approx(1)
    assert known.seconds("coop", 1000e9) == pytest.approx(1000)
    assert known.seconds("coop", 0.1e9) == pytest.approx(0.001)


def test_what_was_not_measured_takes_the_median_of_the_methods(tmp_path):
    rows = [f"{name},M,cpu,1,float32,1,{seconds}" for name, seconds in zip("abc", (1, 2, 9), strict=True)]
    known = throughput(tmp_path, *rows, "encode,M,cpu,1,float32,1,100")
    assert known.seconds("other", 3e9) == pytest.approx(6)
    assert known.seconds("encode", 3e9) == pytest.approx(300)


def test_of_the_benchmarks_rows_our_own_way_is_taken(tmp_path):
    rows = [f"coop,M,cuda,1,bfloat16,1,{seconds},{way}" for seconds, way in ((8, "plain"), (2, "ours"))]
    path = measured(tmp_path, *rows, columns=f"{COLUMNS},way")
    known = Throughput(read_measured(path))
    assert known.seconds("coop", 1e9) == pytest.approx(2)
    assert known.machines == ["M on cuda, bfloat16"]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (["coop,M,cpu,1,float32,1"], COLUMNS.removesuffix(",seconds"), "row 1: missing key seconds"),
        (["coop,M,cpu,1,float32,1,soon"], COLUMNS, "row 1: seconds: Input should be a valid number"),
        (["coop,M,cpu,1,float32,0,1"], COLUMNS, "row 1: gflop: Input should be greater than 0"),
        ([], COLUMNS, "has no row of measured steps"),
    ],
)
def test_a_file_that_does_not_serve(tmp_path, rows, columns, message):
    with pytest.raises(UserError, match=message):
        read_measured(measured(tmp_path, *rows, columns=columns))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.csv does not exist"):
        read_measured(tmp_path / "nothing.csv")
