"""Runs side by side in the terminal, from the command line to the table."""

import pytest
import yaml
from click.testing import CliRunner
from made_up_results import CONFIG_DIR
from small_results import CASCADED, COOP, ZERO_SHOT, small_experiment

from promptdistill.cli import main
from promptdistill.tracking.importing import import_runs, open_experiment
from promptdistill.tracking.store import store_of


@pytest.fixture
def runs(found, results, monkeypatch):
    """Key -> id of imported runs."""
    monkeypatch.setenv("COLUMNS", "200")
    return import_runs(found(), store_of(results))["runs"]


@pytest.fixture
def compare(results):
    config = results.parent / "own.yaml"
    config.write_text(yaml.safe_dump(small_experiment(results.parent).config.model_dump(mode="json")))
    options = ["--config", str(config), "--config-dir", str(CONFIG_DIR)]

    def invoke(*arguments):
        done = CliRunner().invoke(main, ["compare", *arguments, *options])
        return done.output

    return invoke


def cells(output, name):
    """The cells of one row of the table."""
    row = next(line for line in output.splitlines() if line.startswith(f"│ {name} "))
    return [cell.strip() for cell in row.strip("│").split("│")][1:]


def test_parameters_that_differ_and_all_metrics(runs, compare, results):
    output = compare(COOP, CASCADED)
    current = open_experiment(store_of(results)).current()
    assert COOP in output and CASCADED in output
    assert cells(output, "id") == [runs[COOP], runs[CASCADED]]
    assert cells(output, "method") == ["coop", "coop+caspl"]
    assert cells(output, "boosting.prompt_depth") == ["-", "3"]
    assert "hyperparameters.epochs" not in output
    assert "parameters are equal: --all shows them." in output
    plain, cascaded = (current[key].data.metrics["hm"] for key in (COOP, CASCADED))
    assert cells(output, "hm") == [f"{plain:.6g}", f"{cascaded:.6g} ({cascaded - plain:+.4g})"]


def test_all_shows_what_is_equal_and_tags(runs, compare):
    output = compare(COOP, CASCADED, "--all")
    assert cells(output, "hyperparameters.epochs") == ["2", "2"]
    assert cells(output, "promptdistill.transductive") == ["-", "images and class names"]
    assert "parameters are equal" not in output


def test_three_runs_by_id_and_key(runs, compare):
    output = compare(runs[COOP], CASCADED, ZERO_SHOT)
    assert cells(output, "id") == [runs[COOP], runs[CASCADED], runs[ZERO_SHOT]]
    assert cells(output, "training/lr")[2] == "-"
    assert cells(output, "shots") == ["2", "2", "0"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((COOP, COOP.replace("coop", "coup")), f"(did you mean {COOP}"),
        ((COOP, "nothing"), "There is no run nothing in sqlite:///"),
        ((COOP, "nothing"), "(a key looks like base_to_novel/mini_patterns/"),
        ((COOP, "0" * 32), f"has no run of the id {'0' * 32}"),
        ((COOP,), "Name two runs at least to compare"),
        ((COOP, COOP), "Name two runs at least to compare, each once"),
    ],
)
def test_unknown_runs_are_said_in_one_sentence(runs, compare, names, sentence):
    output = compare(*names)
    assert sentence in output.replace("\n", " ")
    assert output.startswith("promptdistill: ")
    assert "Traceback" not in output


def test_without_a_store_it_says_what_to_do(compare, results):
    (results / "mlflow.db").unlink()
    assert "import results with track first" in compare(COOP, CASCADED)
    assert not (results / "mlflow.db").exists()


def test_without_an_experiment_it_says_what_to_do(compare, results):
    assert "has no experiment" in compare(COOP, CASCADED)
