"""Folders and addresses with signs that mean something in a URI: the place that is meant, or a sentence."""

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from made_up_results import CONFIG_DIR
from mlflow.artifacts import download_artifacts
from small_results import CASCADED, COOP, KEYS, small_experiment

from promptdistill.cli import main
from promptdistill.tracking.compare import find_runs
from promptdistill.tracking.content import contents
from promptdistill.tracking.importing import import_runs, open_experiment
from promptdistill.tracking.store import store_of


@pytest.fixture
def command(results):
    """Calls the command line with the configuration of the results."""
    config = results.parent / "own.yaml"
    config.write_text(yaml.safe_dump(small_experiment(results.parent).config.model_dump(mode="json")))
    options = ["--config", str(config), "--config-dir", str(CONFIG_DIR)]
    return lambda *arguments: CliRunner().invoke(main, [*arguments, *options])


@pytest.mark.parametrize("name", ["r%41", "r?x", "r#x=1", "r%3Fx", """a 'b" c""", "é 数据 [x] @ & : r"])
def test_results_of_any_name_hold_their_own_store(results, tmp_path, name):
    folder = tmp_path / "n" / name
    folder.parent.mkdir()
    results.rename(folder)
    experiment = small_experiment(folder.parent, results=name)
    store = store_of(folder)
    assert store.database == folder / "mlflow.db"
    receipt = import_runs(contents(experiment), store)
    assert receipt["done"]["new"] == len(KEYS)
    runs = find_runs((COOP, CASCADED), store_of(folder))
    assert [run.info.run_id for run in runs] == [receipt["runs"][COOP], receipt["runs"][CASCADED]]
    for content in contents(experiment):
        for file, path in content.files.items():
            artifact = folder / "mlflow-artifacts" / receipt["runs"][content.key] / "artifacts" / file
            assert artifact.read_bytes() == path.read_bytes()
    prompt = Path(
        download_artifacts(
            run_id=receipt["runs"][COOP], artifact_path="prompt/1.safetensors", tracking_uri=store.uri
        )
    )
    assert prompt.read_bytes() == (folder / f"adapting/{COOP}.safetensors").read_bytes()
    assert import_runs(contents(experiment), store)["done"]["unchanged"] == len(KEYS)
    assert [path.name for path in folder.parent.iterdir()] == [name]  # and nothing beside it


def test_a_question_mark_in_the_name_of_results_when_the_store_is_new(results):
    folder = results.rename(results.with_name("new?"))
    (folder / "mlflow.db").unlink()
    import_runs([], store_of(folder))
    assert open_experiment(store_of(folder)).runs() == []
    assert {path.name for path in folder.iterdir()} >= {"mlflow.db", "mlflow.db.lock"}
    assert {path.name for path in folder.parent.iterdir()} == {"new?"}


@pytest.mark.parametrize(
    "address",
    [
        "sqlite:///{folder}/x.db?timeout=30",
        "sqlite+pysqlite:///{folder}/x.db",
        "sqlite:///{folder}/x.db",
        "sqlite:///x.db",
        "sqlite+pysqlite:///file:{folder}/%78.db?uri=true",
    ],
)
def test_an_address_with_options_is_one_store_for_all_commands(
    results, tmp_path, monkeypatch, command, address
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(folder=tmp_path))
    (results / "mlflow.db").rename(tmp_path / "x.db")
    before = {path.name for path in tmp_path.iterdir()}
    tracked = command("track")
    assert tracked.exit_code == 0, tracked.output
    compared = command("compare", COOP, CASCADED)
    assert compared.exit_code == 0, compared.output
    assert {path.name for path in tmp_path.iterdir()} - before == {"x.db.lock", "mlflow-artifacts"}
    assert not (results / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        *((f"sqlite:{rest}", "names no file") for rest in ("//", "///", "///:memory:", "//x.db", "///?a=1")),
        ("sqlite:///file:x?mode=memory&uri=true", "names no file"),
        ("file:///tmp/mlruns", "maintenance mode"),
        ("some/folder", "maintenance mode"),
        ("nothing://of/this/kind", "unsupported URI"),
        ("SQLite:///x.db", "Can't load plugin"),
        ("mysql://localhost/x", "No module named"),
    ],
)
def test_an_address_that_holds_no_runs_is_refused(results, tmp_path, monkeypatch, command, address, sentence):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    for done in (command("track"), command("compare", COOP, CASCADED)):
        assert done.output.splitlines()[-1].startswith("promptdistill: ")
        assert sentence in done.output
        assert done.exit_code == 1
        assert isinstance(done.exception, SystemExit)
    assert {path.name for path in tmp_path.iterdir()} == {"results", "own.yaml"}


def cut(database):
    database.write_bytes(database.read_bytes()[:40_000])


def fill(database):
    database.write_bytes(database.read_bytes()[:8000] + b"\xff" * 60_000 + database.read_bytes()[68_000:])


def half_made(database):
    """As a version left it that was killed while MLflow made its tables in place."""
    import sqlite3

    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    connection.close()


def other(database):
    database.write_text("no database" * 1000)


@pytest.mark.parametrize("damage", [cut, fill, half_made, other])
def test_a_damaged_store_is_said_in_one_sentence(results, command, damage):
    damage(results / "mlflow.db")
    content = (results / "mlflow.db").read_bytes()
    for done in (command("track"), command("compare", COOP, CASCADED)):
        assert done.exit_code == 1
        assert done.output.splitlines()[-1].startswith(f"promptdistill: {results}/mlflow.db is damaged, or")
        assert "move it and the folder mlflow-artifacts beside it away" in done.output
    assert (results / "mlflow.db").read_bytes() == content


def test_moved_away_as_advised_the_store_is_made_again(results, command):
    other(results / "mlflow.db")
    shutil.move(results / "mlflow.db", results / "old.db")
    assert f"{len(KEYS)} new" in command("track").output


def test_an_empty_file_is_filled(results, command):
    (results / "mlflow.db").write_bytes(b"")
    assert f"{len(KEYS)} new" in command("track").output
