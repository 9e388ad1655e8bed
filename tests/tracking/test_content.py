"""What runs hold, against the files that it is read from."""

import json
from pathlib import Path

import pandas as pd
import pytest
from small_results import CASCADED, COOP, JOBS, KEYS, METRICS, PATTERNS, PROBE, TABLES, ZERO_SHOT

from promptdistill.errors import UserError
from promptdistill.files import sha256
from promptdistill.tracking.content import Results, contents


def by_key(found):
    return {content.key: content for content in found()}


def values(content, name):
    """The values of a metric by its step."""
    return {point.step: point.value for point in content.points if point.name == name}


def test_every_result_of_every_table_is_a_run(found):
    keys = [content.key for content in found()]
    assert len(keys) == len(set(keys))
    assert set(keys) == KEYS


def test_a_run_holds_its_figures_and_curves(found, results):
    coop = by_key(found)[COOP]
    row = next(row for row in json.loads((results / METRICS[1]).read_text()) if row["seed"] == 1)
    for figure in ("base", "novel", "hm"):
        assert values(coop, figure) == {0: row[figure]}
    history = json.loads((results / f"adapting/{COOP[:-4]}/2shots_seed1.history.json").read_text())
    assert values(coop, "training/loss") == {row["epoch"]: row["loss"] for row in history}
    assert values(coop, "training/lr") == {row["epoch"]: row["lr"] for row in history}


def test_a_search_is_a_curve_over_its_trials(found, results):
    probe = by_key(found)[PROBE]
    history = json.loads((results / f"adapting/{PROBE[:-4]}/2shots_seed1.history.json").read_text())
    assert values(probe, "training/C") == {number: row["C"] for number, row in enumerate(history)}
    assert len(values(probe, "accuracy")) == 1


def test_time_is_that_of_the_job_and_its_share(found, results):
    coop = by_key(found)[COOP]
    measured = pd.read_csv(results / f"benchmarks/adapting/{COOP[:-4]}/2shots_seed1-2.tsv", sep="\t").iloc[0]
    assert values(coop, "job/runs") == {0: 2}
    assert values(coop, "job/seconds") == {0: measured["s"]}
    assert values(coop, "job/seconds_per_run") == {0: coop.seconds} == {0: measured["s"] / 2}
    assert values(coop, "job/peak_memory_mb") == {0: measured["max_rss"]}


def test_what_was_not_measured_is_left_out(found, results):
    tsv = results / f"benchmarks/adapting/{COOP[:-4]}/2shots_seed1-2.tsv"
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
    prompt = results / f"adapting/{CASCADED[:-4]}/2shots_seed1.safetensors"
    assert runs[CASCADED].files == {
        "prompt/2shots_seed1.safetensors": prompt,
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
    predictions = results / f"predictions/{COOP[:-4]}/2shots_seed1.parquet"
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
    history = results / f"adapting/{COOP[:-4]}/2shots_seed1.history.json"
    history.write_text(history.read_text().replace('"epoch": 1', '"epoch": 2'))
    plot = results / "tables/few_shot.png"
    plot.write_bytes(plot.read_bytes() + b"\0")
    after = {key: content.sha256 for key, content in by_key(found).items()}
    assert {key for key in after if after[key] != before[key]} == {COOP, "table/few_shot"}


def damage_prompt(results):
    (results / f"adapting/{COOP[:-4]}/2shots_seed1.safetensors").write_bytes(b"nothing")


def remove_prompt(results):
    (results / f"adapting/{COOP[:-4]}/2shots_seed1.safetensors").unlink()


def other_predictions(results):
    folder = results / f"predictions/{COOP[:-4]}"
    (folder / "2shots_seed2.parquet").replace(folder / "2shots_seed1.parquet")


def other_boosting(results):
    prompt = results / f"adapting/{COOP[:-4]}/2shots_seed1.safetensors"
    (results / f"boosting/{PATTERNS}/boosted.safetensors").write_bytes(prompt.read_bytes())


def remove_split(results):
    (results / f"splits/{PATTERNS}/split.json").unlink()


def remove_table(results):
    (results / "tables/base_to_novel.csv").unlink()


def empty_table(results):
    (results / "tables/base_to_novel_seeds.csv").write_text("")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (damage_prompt, r"2shots_seed1.safetensors is not the file that the predictions came from"),
        (remove_prompt, r"2shots_seed1.safetensors does not exist: run the workflow first"),
        (other_predictions, r"2shots_seed1.parquet is not the file that the metrics came from"),
        (other_boosting, r"boosted.safetensors is not the file that .*2shots_seed1.safetensors came from"),
        (remove_split, r"split.json does not exist"),
        (remove_table, r"base_to_novel.csv does not exist: make this table first"),
        (empty_table, r"base_to_novel_seeds.csv is not a table of this program, or is damaged"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(found, results, spoil, sentence):
    spoil(results)
    with pytest.raises(UserError, match=sentence):
        found()


def test_a_table_without_its_metrics_is_refused(results):
    with pytest.raises(UserError, match="in none of the metrics files"):
        contents([results / TABLES[0]], [results / METRICS[0]], Results(results), JOBS)


def test_an_unknown_table_is_refused(results):
    with pytest.raises(UserError, match="there is not a table 'other': choose one of base_to_novel"):
        contents([results / "tables/other"], [results / METRICS[0]], Results(results), JOBS)
