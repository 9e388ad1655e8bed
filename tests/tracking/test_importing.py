"""Bringing real results into a real SQLite store: once, again, changed, and after accidents."""

import json
import time

import pytest
import yaml
from click.testing import CliRunner
from made_up_results import CONFIG_DIR
from mlflow import MlflowClient
from mlflow.entities import ViewType
from small_results import CASCADED, COOP, KEYS, PROBE, ZERO_SHOT, small_experiment, write_history

from promptdistill.cli import main
from promptdistill.errors import UserError
from promptdistill.tracking import importing
from promptdistill.tracking.importing import CONTENT, KEY, import_runs, open_experiment
from promptdistill.tracking.store import Store, store_of

PARENT = "mlflow.parentRunId"


@pytest.fixture
def store(results):
    return store_of(results)


def stored(store):
    """Everything that the store holds of every run that is not deleted, by its id."""
    runs = open_experiment(store).runs()
    return {run.info.run_id: run.to_dictionary() for run in runs}


def deleted(store):
    experiment = open_experiment(store)
    found = experiment.client.search_runs([experiment.id], run_view_type=ViewType.DELETED_ONLY)
    return {run.data.tags[KEY] for run in found}


def current(store):
    return open_experiment(store).current()


def change(results, key=COOP):
    write_history(results, [{"epoch": epoch, "lr": 0.5, "loss": 0.1} for epoch in (0, 2)], key)


def test_every_result_becomes_one_run(found, store):
    contents = {content.key: content for content in found()}
    receipt = import_runs(list(contents.values()), store)
    assert receipt["done"] == {"new": len(KEYS), "replaced": 0, "unchanged": 0}
    assert set(receipt["runs"]) == KEYS
    assert len(stored(store)) == len(KEYS)
    client = MlflowClient(tracking_uri=store.uri)
    for key, run_id in receipt["runs"].items():
        run, content = client.get_run(run_id), contents[key]
        assert run.data.tags[CONTENT] == content.sha256
        assert run.data.params == content.params
        for name in {point.name for point in content.points}:
            curve = {metric.step: metric.value for metric in client.get_metric_history(run_id, name)}
            assert curve == {point.step: point.value for point in content.points if point.name == name}
        for name, path in content.files.items():
            artifact = store.artifacts / run_id / "artifacts" / name
            assert artifact.read_bytes() == path.read_bytes()
        used = {use.dataset.name: use.dataset.digest for use in run.inputs.dataset_inputs}
        assert used == {use.name: use.split_sha256[:36] for use in content.datasets}


def test_runs_nest_under_their_table(found, store):
    runs = import_runs(found(), store)["runs"]
    for key, run in current(store).items():
        if not key.startswith("table/"):
            assert run.data.tags[PARENT] == runs[f"table/{key.split('/')[0]}"]


def test_a_run_lasts_as_long_as_its_share_of_the_training(found, store):
    contents = {content.key: content for content in found()}
    import_runs(list(contents.values()), store)
    info = current(store)[COOP].info
    assert info.end_time - info.start_time == round(1000 * contents[COOP].seconds) > 0


def test_importing_again_changes_nothing(found, store):
    first = import_runs(found(), store)
    before = stored(store)
    second = import_runs(found(), store)
    assert second["done"] == {"new": 0, "replaced": 0, "unchanged": len(KEYS)}
    assert second["runs"] == first["runs"]
    assert stored(store) == before
    assert deleted(store) == set()


def test_a_changed_run_is_replaced_alone(found, store, results):
    before = import_runs(found(), store)["runs"]
    change(results)
    after = import_runs(found(), store)
    assert after["done"] == {"new": 0, "replaced": 1, "unchanged": len(KEYS) - 1}
    assert {key for key in KEYS if after["runs"][key] != before[key]} == {COOP}
    assert deleted(store) == {COOP}
    assert len(stored(store)) == len(KEYS)


def test_a_changed_table_takes_its_runs_along(found, store, results):
    before = import_runs(found(), store)["runs"]
    plot = results / "tables/base_to_novel.png"
    plot.write_bytes(plot.read_bytes() + b"\0")
    after = import_runs(found(), store)["runs"]
    assert {key for key in KEYS if after[key] != before[key]} == {"table/base_to_novel"}
    runs = current(store)
    assert runs[COOP].data.tags[PARENT] == after["table/base_to_novel"] != before["table/base_to_novel"]
    assert runs[PROBE].data.tags[PARENT] == before["table/few_shot"]


def test_a_deleted_run_comes_back(found, store):
    runs = import_runs(found(), store)["runs"]
    open_experiment(store).client.delete_run(runs[ZERO_SHOT])
    assert import_runs(found(), store)["done"]["new"] == 1
    assert set(current(store)) == KEYS


def test_of_two_runs_of_one_key_the_same_one_always_stays(found, store):
    """What two imports at once leave behind: both had seen none."""
    import_runs(found(), store)
    experiment = open_experiment(store)
    coop = next(content for content in found() if content.key == COOP)
    tags = current(store)[COOP].data.tags
    own, end = {**tags, "mlflow.runName": COOP}, int(1000 * time.time()) + 10_000
    twins = [importing._write(coop, experiment, own, after=end) for _ in range(3)]
    importing._write(coop, experiment, own, after=0)
    assert importing.settle(experiment, alone=False)[COOP].info.run_id == max(twins)
    assert len(stored(store)) == len(KEYS)


def test_the_later_run_stays_whatever_its_id_and_the_clocks(found, store, results, monkeypatch):
    """A run that replaces another must win; ids are random, and the clock of another machine may be late."""
    now = time.time()
    for number in range(4):
        monkeypatch.setattr(importing.time, "time", lambda late=100 * number: now - late)
        write_history(results, [{"epoch": 0, "lr": 0.1, "loss": number}])
        import_runs(found(), store)
        assert current(store)[COOP].data.metrics["training/loss"] == number


def unfinished(store, age_seconds):
    """What an import that was killed leaves, so long ago."""
    experiment = open_experiment(store)
    begun = str(int(1000 * (time.time() - age_seconds)))
    tags = {**current(store)[COOP].data.tags, "promptdistill.begun": begun}
    return experiment.client.create_run(experiment.id, tags=tags).info.run_id


def test_what_a_killed_import_left_in_a_server_is_removed_once_it_is_old(found, store):
    """Until then it may be another import's, at work."""
    import_runs(found(), store)
    old, young = unfinished(store, age_seconds=4000), unfinished(store, age_seconds=10)
    assert young not in {
        run.info.run_id for run in importing.settle(open_experiment(store), alone=False).values()
    }
    assert {old, young} & set(stored(store)) == {young}


def test_what_a_killed_import_left_in_a_file_is_removed_at_once(found, store):
    import_runs(found(), store)
    young = unfinished(store, age_seconds=0)
    assert import_runs(found(), store)["done"]["unchanged"] == len(KEYS)
    assert young not in stored(store)


def test_a_failure_leaves_no_half_run_and_the_rest_as_it_was(found, store, results):
    import_runs(found(), store)
    before = stored(store)
    change(results, CASCADED)
    changed = found()
    lost = next(content for content in changed if content.key == CASCADED)
    lost.files["gone"] = results / "gone"
    with pytest.raises(OSError, match="gone"):
        import_runs(changed, store)
    assert stored(store) == before


def test_a_deleted_experiment_is_not_filled(found, store):
    import_runs(found(), store)
    experiment = open_experiment(store)
    experiment.client.delete_experiment(experiment.id)
    with pytest.raises(
        UserError, match="was deleted: restore it, or name another with MLFLOW_EXPERIMENT_NAME"
    ):
        import_runs(found(), store)


def test_a_moved_store_does_not_write_into_the_old_folder(found, store, results):
    import_runs(found(), store)
    moved = results.with_name("moved")
    results.rename(moved)
    there = Store(f"sqlite:///{moved}/mlflow.db", store.experiment)
    with pytest.raises(UserError, match=r"moved/mlflow.db keeps its artifacts in .*results/mlflow-artifacts"):
        import_runs([], there)


def test_a_server_that_does_not_answer_is_named(found):
    with pytest.raises(
        UserError, match=r"MLflow \(http://127.0.0.1:9, experiment e\) says: Connection refused"
    ):
        import_runs(found(), Store("http://ada:secret@127.0.0.1:9", "e"))


def test_the_command_takes_the_configuration_alone(results, store):
    config = results.parent / "own.yaml"
    config.write_text(yaml.safe_dump(small_experiment(results.parent).config.model_dump(mode="json")))
    options = ["--config", str(config), "--config-dir", str(CONFIG_DIR)]
    done = CliRunner().invoke(main, ["track", *options])
    assert done.stdout == f"{len(KEYS)} new, 0 replaced, 0 unchanged runs in {store}\n", done.stderr
    receipt = json.loads((results / "tracking.json").read_text())
    assert receipt["runs"] == {key: run.info.run_id for key, run in current(store).items()}
