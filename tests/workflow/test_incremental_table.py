"""Class-incremental through the real workflow: from sessions to a table with a curve."""

import json

import pandas as pd
import pytest
from running import FAST, copy_project, run_snakemake

SESSIONS = 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which zero-shot CLIP, CoOp, alone and cascaded, and PromptSRC have run in sessions."""
    project = tmp_path_factory.mktemp("incremental")
    copy_project(project)
    text = FAST.read_text()
    config = project / "incremental.yaml"
    own = f"  class_incremental: {{sessions: {SESSIONS}, shots: 2, seeds: [1, 2]}}"
    config.write_text(text.replace("  base_to_novel: {shots: 2, seeds: [1, 2]}", own))
    done = run_snakemake("--cores", 2, "--configfile", config, cwd=project)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return project


def test_the_table_and_its_curve(finished):
    rows = pd.read_csv(finished / "results/tables/class_incremental.csv")
    points = [f"accuracy_{session}" for session in range(1, SESSIONS + 1)]
    assert list(rows["metric"].unique()) == ["average", "last", "forgetting", *points]
    assert set(rows["method"]) == {"zero_shot", "coop", "coop+caspl", "promptsrc"}
    page = (finished / "results/tables/class_incremental.md").read_text()
    assert "| Average | Last | Forgetting |" in page
    assert "After 1" not in page
    assert (finished / "results/tables/class_incremental.png").stat().st_size > 5000


def test_metrics_counted_again_from_the_predictions(finished):
    """Sessions of four classes each: accuracy over those seen, and how far the first ones fall."""
    run = "class_incremental/mini_patterns/coop/2/1"
    frame = pd.read_parquet(finished / f"results/predictions/{run}.parquet")
    right = frame["label"] == frame["prediction"]
    seen = [100 * right[frame["subset"] == f"after_{after}"].mean() for after in (1, 2, 3)]

    def accuracy(after, session):
        own = frame["label"].between(4 * session, 4 * session + 3)
        return 100 * right[(frame["subset"] == f"after_{after}") & own].mean()

    fallen = [
        max(accuracy(1, 0), accuracy(2, 0)) - accuracy(3, 0),
        accuracy(2, 1) - accuracy(3, 1),
    ]
    metrics = json.loads((finished / "results/metrics/class_incremental/coop.json").read_text())
    (row,) = [row for row in metrics["runs"] if row["key"] == run]
    assert row["average"] == pytest.approx(sum(seen) / 3)
    assert row["last"] == pytest.approx(seen[-1])
    assert row["forgetting"] == pytest.approx(sum(fallen) / 2)


def test_another_number_of_sessions_trains_again(finished):
    config = finished / "incremental.yaml"
    text = config.read_text()
    config.write_text(text.replace("sessions: 3", "sessions: 4"))
    try:
        done = run_snakemake("-n", "--cores", 2, "--configfile", config, cwd=finished)
    finally:
        config.write_text(text)
    printed = done.stdout + done.stderr
    for rule in ("adapt_class_incremental_0", "evaluate_class_incremental_0", "evaluate_zero_shot"):
        assert rule in printed
    assert "learning boosting" not in printed
