"""What runs hold, against the files that it is read from."""

import json
from pathlib import Path

import pandas as pd
import pytest
from made_up_results import make_results
from small_results import CASCADED, COOP, KEYS, PATTERNS, PROBE, ZERO_SHOT, small_experiment

from promptdistill.errors import UserError
from promptdistill.files import sha256
from promptdistill.tracking.content import Point, contents


def by_key(found):
    return {content.key: content for content in found()}


def values(content, name):
    """The values of a metric by its step."""
    return {point.step: point.value for point in content.points if point.name == name}


def test_every_result_of_every_table_is_a_run(found):
    keys = [content.key for content in found()]
    assert len(keys) == len(set(keys))
    assert set(keys) == KEYS


def test_a_run_holds_its_metrics_and_curves(found, results):
    coop = by_key(found)[COOP]
    rows = json.loads((results / "metrics/base_to_novel/coop.json").read_text())["runs"]
    row = next(row for row in rows if row["key"] == COOP)
    for metric in ("base", "novel", "hm"):
        assert values(coop, metric) == {0: row[metric]}
    history = json.loads((results / f"adapting/{COOP}.history.json").read_text())["rows"]
    assert values(coop, "training/loss") == {row["epoch"]: row["loss"] for row in history}
    assert values(coop, "training/lr") == {row["epoch"]: row["lr"] for row in history}


def test_a_search_is_a_curve_over_its_trials(found, results):
    probe = by_key(found)[PROBE]
    history = json.loads((results / f"adapting/{PROBE}.history.json").read_text())["rows"]
    assert values(probe, "training/C") == {number: row["C"] for number, row in enumerate(history)}
    assert len(values(probe, "accuracy")) == 1


def test_time_is_that_of_the_job_and_its_share(found, results):
    coop = by_key(found)[COOP]
    measured = pd.read_csv(results / f"benchmarks/adapting/{COOP[:-4]}/0.tsv", sep="\t").iloc[0]
    assert values(coop, "job/runs") == {0: 2}
    assert values(coop, "job/seconds") == {0: measured["s"]}
    assert values(coop, "job/seconds_per_run") == {0: coop.seconds} == {0: measured["s"] / 2}
    assert values(coop, "job/peak_memory_mb") == {0: measured["max_rss"]}


def test_what_was_not_measured_is_left_out(found, results):
    tsv = results / f"benchmarks/adapting/{COOP[:-4]}/0.tsv"
    tsv.write_text("s\tmax_rss\n3.0\tNA\n")
    names = {point.name for point in by_key(found)[COOP].points}
    assert "job/seconds" in names and "job/peak_memory_mb" not in names
    tsv.unlink()
    assert not any(point.name.startswith("job/") for point in by_key(found)[COOP].points)


def test_parameters_are_those_of_the_prompt(found):
    params = by_key(found)[CASCADED].params
    expected = {
        "method": "coop+caspl",
        "dataset": PATTERNS,
        "trained_on": PATTERNS,
        "shots": "2",
        "seed": "1",
    }
    expected |= {
        "hyperparameters.epochs": "2",
        "boosting.prompt_depth": "3",
        "student": "miniature-student:miniature",
    }
    assert params.items() >= expected.items()
    assert params["precision"] == "float32"
    assert "versions.torch" in params


def test_files_and_data_sets(found, results):
    runs = by_key(found)
    prompt = results / f"adapting/{CASCADED}.safetensors"
    assert runs[CASCADED].files == {
        "prompt/1.safetensors": prompt,
        "boosting/boosted.safetensors": results / f"boosting/{PATTERNS}/boosted.safetensors",
    }
    split = results / f"splits/{PATTERNS}/split.json"
    for key, context in ((COOP, "training and testing"), (ZERO_SHOT, "testing")):
        (dataset,) = runs[key].datasets
        assert (dataset.name, dataset.split_sha256, dataset.context) == (PATTERNS, sha256(split), context)


def test_what_learns_nothing_has_no_training(found):
    content = by_key(found)[ZERO_SHOT]
    assert {point.name for point in content.points} == {"base", "novel", "hm"}
    assert content.files == {}
    assert content.params["shots"] == "0"


def test_what_saw_unlabelled_images_says_so(found):
    runs = by_key(found)
    assert runs[CASCADED].tags["promptdistill.transductive"] == "images and class names"
    assert "promptdistill.transductive" not in runs[COOP].tags


def test_a_run_names_the_predictions_that_it_is_of(found, results):
    """By their hash: `trace` tells by it whether a run is of a table's own number."""
    predictions = results / f"predictions/{COOP}.parquet"
    assert by_key(found)[COOP].tags["promptdistill.predictions"] == sha256(predictions)


def test_a_tables_run_holds_its_averages_and_files(found, results):
    table = by_key(found)["table/few_shot"]
    cells = pd.read_csv(results / "tables/few_shot.csv")
    own = cells[(cells["dataset"] == "average") & (cells["method"] == "linear_probe")]
    assert values(table, "average/accuracy/linear_probe") == dict(zip(own["shots"], own["mean"], strict=True))
    assert {Path(name).suffix for name in table.files} == {".csv", ".png", ".html"}
    base_to_novel = by_key(found)["table/base_to_novel"]
    assert len(values(base_to_novel, "average/hm/coop-caspl")) == 1


def test_an_average_without_all_seeds_is_left_out(found, results):
    path = results / "tables/base_to_novel.csv"
    cells = pd.read_csv(path)
    cells.loc[cells["method"] == "coop", "partial"] = True
    cells.to_csv(path, index=False)
    table = by_key(found)["table/base_to_novel"]
    assert not values(table, "average/hm/coop")
    assert values(table, "average/hm/zero_shot")


def test_the_hash_is_of_the_content(found, results):
    before = {key: content.sha256 for key, content in by_key(found).items()}
    assert {key: content.sha256 for key, content in by_key(found).items()} == before
    history = results / f"adapting/{COOP}.history.json"
    history.write_text(history.read_text().replace('"epoch": 1', '"epoch": 2'))
    plot = results / "tables/few_shot.png"
    plot.write_bytes(plot.read_bytes() + b"\0")
    after = {key: content.sha256 for key, content in by_key(found).items()}
    assert {key for key in after if after[key] != before[key]} == {COOP, "table/few_shot"}


def damage_prompt(results):
    (results / f"adapting/{COOP}.safetensors").write_bytes(b"nothing")


def remove_prompt(results):
    (results / f"adapting/{COOP}.safetensors").unlink()


def other_predictions(results):
    folder = results / f"predictions/{COOP[:-4]}"
    (folder / "2/2.parquet").replace(folder / "2/1.parquet")


def other_boosting(results):
    prompt = results / f"adapting/{COOP}.safetensors"
    (results / f"boosting/{PATTERNS}/boosted.safetensors").write_bytes(prompt.read_bytes())


def remove_table(results):
    (results / "tables/base_to_novel.csv").unlink()


def empty_table(results):
    (results / "tables/base_to_novel.csv").write_text("")


def remove_metrics(results):
    (results / "metrics/base_to_novel/coop.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            damage_prompt,
            r"1.safetensors is not the prompt that .*1.parquet came from: run the work",
        ),
        (remove_prompt, r"1.safetensors does not exist: run the workflow first"),
        (other_predictions, r"1.parquet is not the predictions that the metrics came from"),
        (other_boosting, r"boosted.safetensors is not the boosting prompt that .*1.safetensors came from"),
        (remove_table, r"base_to_novel.csv does not exist: make this table first"),
        (empty_table, r"base_to_novel.csv is not a table of this program, or is damaged"),
        (remove_metrics, r"coop.json does not exist: make it first"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(found, results, spoil, sentence):
    spoil(results)
    with pytest.raises(UserError, match=sentence):
        found()


def test_what_was_tested_elsewhere_was_trained_on_the_source(tmp_path):
    """Prompt, times and data set are the source's; a result of both tables stands in the first."""
    experiment = small_experiment(
        tmp_path,
        methods=["coop+caspl"],
        protocols={
            "transfer": {
                "source": "mini_shapes",
                "shots": 2,
                "seeds": [1],
                "cross_dataset": [PATTERNS],
                "domain_generalization": ["mini_shapes_sketch"],
            }
        },
    )
    make_results(experiment)
    runs = {content.key: content for content in contents(experiment)}
    source, other, sketch = (
        f"transfer/{name}/coop+caspl/2/1" for name in ("mini_shapes", PATTERNS, "mini_shapes_sketch")
    )
    tables = {content.key: content.table for content in runs.values()}
    assert tables == {
        "table/cross_dataset": "cross_dataset",
        source: "cross_dataset",
        other: "cross_dataset",
        "table/domain_generalization": "domain_generalization",
        sketch: "domain_generalization",
    }
    run = runs[other]
    assert [(use.name, use.context) for use in run.datasets] == [
        ("mini_shapes", "training"),
        (PATTERNS, "testing"),
    ]
    assert run.files["prompt/1.safetensors"] == experiment.results / f"adapting/{source}.safetensors"
    assert run.params["trained_on"] == "mini_shapes"
    assert run.seconds > 0


def test_hashes_of_what_a_prompt_was_made_from_are_parameters(found, results):
    plain, cascaded = (by_key(found)[key].params for key in (COOP, CASCADED))
    hashes = {name for name in cascaded if name.endswith("_sha256")}
    assert hashes >= {"split_sha256", "draw_sha256", "boosting_sha256", "features_sha256", "student_sha256"}
    assert "boosting_sha256" not in plain
    assert cascaded["boosting_sha256"] == sha256(results / f"boosting/{PATTERNS}/boosted.safetensors")[:12]


def test_points_of_a_curve_are_one_metric(tmp_path):
    """The accuracies after each session, which no table shows."""
    settings = {"shots": 2, "seeds": [1], "sessions": 3, "methods": ["coop"]}
    experiment = small_experiment(tmp_path, protocols={"class_incremental": settings})
    make_results(experiment)
    (key,) = (content.key for content in contents(experiment) if not content.key.startswith("table/"))
    runs = {content.key: content for content in contents(experiment)}
    file = experiment.results / "metrics/class_incremental/coop.json"
    (row,) = json.loads(file.read_text())["runs"]
    assert values(runs[key], "accuracy") == {step: row[f"accuracy_{step}"] for step in (1, 2, 3)}
    assert values(runs[key], "forgetting") == {0: row["forgetting"]}
    names = {point.name for point in runs["table/class_incremental"].points}
    assert {"average/accuracy/coop", "average/forgetting/coop"} <= names


def test_rows_of_several_sessions_are_one_curve(found, results):
    """Epochs begin again in every session."""
    history = results / f"adapting/{COOP}.history.json"
    rows = [
        {"session": session, "epoch": epoch, "loss": float(2 * session + epoch)}
        for session in (1, 2)
        for epoch in (0, 1)
    ]
    history.write_text(json.dumps(rows))
    points = [point for point in by_key(found)[COOP].points if point.name.startswith("training/")]
    assert points == [Point("training/loss", row["loss"], step) for step, row in enumerate(rows)]
