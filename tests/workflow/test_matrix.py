"""Every method, and every protocol, through the real workflow, at one or two epochs."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from running import copy_project, jobs, run_snakemake

from promptdistill.protocols import TABLES
from promptdistill.validation import read_yaml

MATRIX = Path(__file__).parent / "matrix.yaml"
METHODS = read_yaml(MATRIX)["methods"]
OF = {name: settings.get("methods", METHODS) for name, settings in read_yaml(MATRIX)["protocols"].items()}
ON_SOURCE = [name for name in OF["transfer"] if name != "promptkd"]
CASCADED = [name for name in METHODS if "+caspl" in name]
ASKING = [name for name in METHODS if "fdbpl" in name or "kdpl" in name]
VARIANTS = ["regions_1", "by_difference"]  # of FDBPL: as many as show that the ablation works


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which the whole matrix has run."""
    folder = tmp_path_factory.mktemp("matrix")
    copy_project(folder)
    entry = folder / "config/methods/fdbpl.yaml"
    content = read_yaml(entry)
    content["variants"] = {name: content["variants"][name] for name in VARIANTS}
    entry.write_text(yaml.safe_dump(content, sort_keys=False))
    done = run_snakemake("all", "ablation", "--cores", 2, "--configfile", MATRIX, cwd=folder)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder


def runs_of(metrics):
    return json.loads(metrics.read_text())["runs"]


def table(project, name):
    return pd.read_csv(project / f"results/tables/{name}.csv")


PATTERNS, SOURCE, VARIANT = "mini_patterns", "mini_shapes", "mini_shapes_sketch"


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("base_to_novel", {PATTERNS: [name for name in METHODS if name != "linear_probe"]}),
        ("few_shot", {PATTERNS: OF["few_shot"]}),
        ("cross_dataset", {SOURCE: ON_SOURCE, PATTERNS: OF["transfer"]}),
        ("domain_generalization", {SOURCE: ON_SOURCE, VARIANT: ON_SOURCE}),
        ("class_incremental", {PATTERNS: OF["class_incremental"]}),
    ],
)
def test_every_cell_is_there(finished, name, cells):
    rows = table(finished, name)
    found = rows.groupby("dataset")["method"].unique().to_dict()
    for dataset, methods in cells.items():
        assert set(found[dataset]) == set(methods)
    assert rows["mean"].between(0, 100).all()
    assert not rows["partial"].any()
    for ending in ("md", "html", "tex", "png"):
        assert (finished / f"results/tables/{name}.{ending}").stat().st_size > 500


def test_the_ablation_compares_a_method_with_its_variants(finished):
    rows = table(finished, "ablation_fdbpl")
    assert list(rows["method"].unique()) == ["fdbpl", *(f"fdbpl@{name}" for name in VARIANTS)]
    compared = rows[rows["method"] != "fdbpl"]
    assert (compared["runs"] == 2).all()  # two seeds of one data set
    own = table(finished, "base_to_novel")
    own = own[(own["method"] == "fdbpl") & (own["dataset"] == "average")].set_index("metric")["mean"]
    reference = rows[rows["method"] == "fdbpl"].set_index("metric")["mean"]
    assert reference.to_dict() == own.to_dict()
    for ending in ("md", "html", "tex", "png"):
        assert (finished / f"results/tables/ablation_fdbpl.{ending}").stat().st_size > 500


def test_methods_that_ask_the_teacher_follow_its_answers(finished, tmp_path):
    """Features kept in single precision are other answers: boosting, what it feeds, and FDBPL learn again."""
    jobs_line = "jobs: {runs_per_job: 2}"
    rules, learned = planned(finished, (jobs_line, jobs_line + "\nlookup: {dtype: float32}"), tmp_path)
    assert {"lookup", "boost"} <= rules
    assert not {"regions", "split"} & rules
    again = {method for method, _ in learned}
    assert again == {*CASCADED, *ASKING, "coop+fdbpl", "promptkd"}


def test_few_shot_has_every_number_of_shots(finished):
    rows = table(finished, "few_shot")
    coop = rows[(rows["dataset"] == PATTERNS) & (rows["method"] == "coop")]
    assert sorted(coop["shots"]) == [1, 2]


def test_what_is_transductive(finished):
    """Marked: boosting on the tested data set, boosting that knew all its class names, and PromptKD."""

    def marks(name, dataset):
        rows = table(finished, name)
        rows = rows[(rows["dataset"] == dataset) & rows["transductive"].notna()]
        return set(zip(rows["method"], rows["transductive"], strict=True))

    def cascaded(protocol, knew="images and class names"):
        return {(name, knew) for name in OF[protocol] if name in CASCADED}

    student = {("promptkd", "images and class names")}
    assert marks("base_to_novel", PATTERNS) == cascaded("base_to_novel") | student
    assert marks("few_shot", PATTERNS) == cascaded("few_shot")
    assert marks("cross_dataset", SOURCE) == cascaded("transfer")
    assert marks("cross_dataset", PATTERNS) == student
    assert marks("domain_generalization", VARIANT) == cascaded("transfer", "class names")


def test_metrics_come_from_the_predictions(finished):
    """Counted again from the Parquet files, for one method of each protocol."""
    for protocol, dataset in (("base_to_novel", PATTERNS), ("few_shot", PATTERNS), ("transfer", VARIANT)):
        for row in runs_of(finished / f"results/metrics/{protocol}/coop+caspl.json"):
            if row["dataset"] != dataset:
                continue
            predictions = pd.read_parquet(finished / "results" / row["predictions"])
            for subset, own in predictions.groupby("subset"):
                right = sum(own["label"] == own["prediction"])
                metric = "accuracy" if subset == "all" else subset
                assert row[metric] == pytest.approx(100 * right / len(own))


def test_transfer_trains_on_the_source_alone(finished):
    """But for PromptKD, whose students see the unlabelled images of each target."""
    folder = finished / "results/adapting/transfer"
    trained: dict[str, set[str]] = {}
    for path in folder.rglob("*.safetensors"):
        dataset, method, *_ = path.relative_to(folder).parts
        trained.setdefault(method, set()).add(dataset)
    assert trained.pop("promptkd") == {PATTERNS}
    assert set(trained) == set(ON_SOURCE) - {"zero_shot"}
    assert all(datasets == {SOURCE} for datasets in trained.values())


def test_every_result_is_tracked_under_the_first_table_that_shows_it(finished):
    runs = json.loads((finished / "results/tracking.json").read_text())["runs"]
    metrics = (finished / "results/metrics").rglob("*.json")
    rows = [row for file in metrics for row in runs_of(file)]
    # Variants stand in an ablation alone, which is not tracked.
    keys = {row["key"] for row in rows if "@" not in row["method"]}
    assert set(runs) == keys | {f"table/{name}" for name in TABLES}
    client = MlflowClient(tracking_uri=f"sqlite:///{finished}/results/mlflow.db")
    expected = {
        f"base_to_novel/{PATTERNS}/promptkd/4/2": "base_to_novel",
        f"few_shot/{PATTERNS}/linear_probe/2/1": "few_shot",
        f"transfer/{SOURCE}/coop+caspl/2/1": "cross_dataset",
        f"transfer/{PATTERNS}/promptkd/2/1": "cross_dataset",
        f"transfer/{VARIANT}/zero_shot/0/-": "domain_generalization",
    }
    found = {key: client.get_run(runs[key]).data.tags["mlflow.parentRunId"] for key in expected}
    assert found == {key: runs[f"table/{table}"] for key, table in expected.items()}


def planned(project, change, tmp_path):
    """The rules, and the methods that are learned, when one piece of the configuration is changed."""
    path = tmp_path / "changed.yaml"
    assert change[0] in MATRIX.read_text()
    path.write_text(MATRIX.read_text().replace(*change))
    done = run_snakemake("-n", "--cores", 2, "--configfile", path, cwd=project)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    return set(jobs(printed)) - {"all"}, set(re.findall(r"learning ([\w+]+), (\w+)/", printed))


def test_a_second_run_does_nothing(finished, tmp_path):
    assert planned(finished, ("seeds", "seeds"), tmp_path) == (set(), set())


def test_another_teacher_reruns_its_students_alone(finished, tmp_path):
    teacher = "promptkd_teacher: {prompt_depth: 3"
    rules, learned = planned(finished, (teacher, teacher.replace("3", "2")), tmp_path)
    assert {"tune_teacher", "lookup", "adapt_base_to_novel_0", "adapt_transfer_0"} <= rules
    assert not {"boost", "regions"} & rules
    assert learned == {("promptkd", "base_to_novel"), ("promptkd", "transfer")}


def test_a_protocols_own_override_reruns_that_protocol_alone(finished, tmp_path):
    own = "      promptkd: {prompt_depth: 1}\n"
    rules, learned = planned(finished, (own, own + "      coop: {lr: 0.01}\n"), tmp_path)
    assert learned == {(name, "transfer") for name in ("coop", "coop+caspl", "coop+fdbpl")}
    assert "boost" not in rules
