"""What does not belong together is found wherever it lies, and said in one line."""

import json
import re

import pytest
import yaml
from click.testing import CliRunner
from made_up_results import CONFIG_DIR, EVERY_KIND, experiment_in

from promptdistill.artifacts import read_sealed, write_sealed
from promptdistill.cli import main
from promptdistill.errors import UserError
from promptdistill.files import sha256
from promptdistill.run import RunKey
from promptdistill.tracing import files as walked
from promptdistill.tracing.verify import verify

PATTERNS = "mini_patterns"
COOP = f"base_to_novel/{PATTERNS}/coop/2/1"
LOOKUP = f"lookup/{PATTERNS}/zero_shot/1"
DAMAGED, REPLACED = (
    "damaged: its content is not what it was written with",
    "replaced: another file than was used",
)


def faults(experiment, key=None):
    """Every line, without the folder of the results."""
    found = verify(experiment, RunKey.parse(key) if key else None)
    return [line.replace(f"{experiment.results}/", "") for line in found.faults]


def replaced(path):
    """Another file: for predictions, those of the other seed."""
    longer = path.read_bytes() + b"\n"
    path.write_bytes(path.with_name("2.parquet").read_bytes() if path.suffix == ".parquet" else longer)


def test_finished_results_belong_together(experiment):
    found = verify(experiment)
    assert found.faults == []
    rows = [json.loads(path.read_text())["runs"] for path in experiment.results.glob("metrics/*/*.json")]
    assert found.runs == sum(map(len, rows))
    # The boundary of what is looked at: all that is recorded, but no pictures and measurements of jobs.
    beside = ("*.history.json", "*.tsv", "*.png", "*.html", "parts")
    there = {path for path in experiment.results.rglob("*") if path.is_file()}
    there -= {path for pattern in beside for path in experiment.results.rglob(pattern)}
    assert found.files == len(there)
    assert found.summary == f"{found.files} files and the metrics of {found.runs} runs: none wrong."


def test_every_file_is_hashed_once(experiment, monkeypatch):
    hashed = []
    monkeypatch.setattr(walked, "sha256", lambda path: hashed.append(path) or sha256(path))
    verify(experiment)
    assert len(hashed) == len(set(hashed))


@pytest.mark.parametrize(
    ("place", "said", "user"),
    [
        (f"splits/{PATTERNS}/split.json", REPLACED, r" and \d+ more"),
        (f"splits/{PATTERNS}/2/1.json", REPLACED, ""),
        (f"adapting/{COOP}.safetensors", REPLACED, f"predictions/{COOP}.parquet"),
        (f"predictions/{COOP}.parquet", REPLACED, "metrics/base_to_novel/coop.json"),
        (f"{LOOKUP}/manifest.json", REPLACED, "boosting"),
        (f"{LOOKUP}/shard-00001.safetensors", DAMAGED, f"{LOOKUP}/manifest.json"),
        (f"{LOOKUP}/classifier.safetensors", DAMAGED, f"{LOOKUP}/manifest.json"),
        ("metrics/base_to_novel/coop.json", REPLACED, "tables/base_to_novel_record.json"),
        ("tables/few_shot.csv", REPLACED, "tables/few_shot_record.json"),
        ("tables/ablation_fdbpl_seeds.csv", REPLACED, "tables/ablation_fdbpl_record.json"),
    ],
)
@pytest.mark.parametrize("gone", [False, True])
def test_one_line_says_which_file_what_and_who_used_it(experiment, place, said, user, gone):
    path = experiment.results / place
    path.unlink() if gone else replaced(path)
    (line,) = faults(experiment)
    assert line.startswith(f"{place}: {'missing' if gone else said} (used by ")
    assert re.search(user, line)


@pytest.mark.parametrize(
    ("place", "content"),
    [
        (f"predictions/{COOP}.parquet", b"nothing"),
        (f"adapting/{COOP}.safetensors", b"\x08\0\0\0\0\0\0\0{}"),
        (f"splits/{PATTERNS}/2/1.json", b'{"train": []}'),
        ("metrics/base_to_novel/coop.json", b'[{"protocol": "base_to_novel"}]'),
        ("tables/base_to_novel_record.json", b"{"),
    ],
)
def test_a_file_that_says_nothing_of_itself_is_damaged(experiment, place, content):
    (experiment.results / place).write_bytes(content)
    (line,) = faults(experiment)
    assert line.startswith(f"{place}: {DAMAGED}")


def test_metrics_are_measured_again(experiment):
    """An edited number, and a table that was made from it: the files belong together, the number does not."""
    path = experiment.results / "metrics/few_shot/coop.json"
    content = read_sealed(path)
    row = content["runs"][0]
    right, row["accuracy"] = row["accuracy"], 99.5
    write_sealed(path, content)
    record = experiment.results / "tables/few_shot_record.json"
    table = read_sealed(record)
    table["inputs"]["metrics/coop"]["sha256"] = sha256(path)
    write_sealed(record, table)
    (line,) = faults(experiment)
    said = f"{row['key']} has accuracy 99.5000, but predictions/{row['key']}.parquet gives {right:.4f}"
    assert line == f"metrics/few_shot/coop.json: {said}"
    assert faults(experiment, row["key"]) == [line]


def test_one_run_is_judged_by_its_own_files(experiment):
    replaced(experiment.results / f"adapting/{COOP}.safetensors")
    other = COOP[:-1] + "2"
    assert faults(experiment, other) == []
    assert verify(experiment, RunKey.parse(other)).runs == 1
    (line,) = faults(experiment, COOP)
    assert line == f"adapting/{COOP}.safetensors: {REPLACED} (used by predictions/{COOP}.parquet)"


def test_predictions_that_are_not_those_of_the_metrics(experiment):
    replaced(experiment.results / f"predictions/{COOP}.parquet")
    (line,) = faults(experiment, COOP)
    assert line == f"predictions/{COOP}.parquet: {REPLACED} (used by metrics/base_to_novel/coop.json)"


def test_before_there_is_anything(experiment, tmp_path):
    with pytest.raises(UserError, match="has no results of this experiment: run the workflow first"):
        verify(experiment_in(tmp_path, EVERY_KIND, results="others"))
    with pytest.raises(
        UserError, match="has no results of base_to_novel/mini_patterns/coop/2/9: run the work"
    ):
        verify(experiment, RunKey.parse(COOP[:-1] + "9"))


@pytest.fixture
def command(experiment, tmp_path):
    """The command, with the experiment's configuration."""
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(experiment.config.model_dump(mode="json")))

    def invoke(*arguments):
        options = ["--config", str(file), "--config-dir", str(CONFIG_DIR)]
        return CliRunner().invoke(main, [*arguments, *options])

    return invoke


def test_the_commands_last_line_and_status(command, experiment):
    done = command("verify")
    assert done.exit_code == 0
    assert done.stdout.endswith(": none wrong.\n")
    replaced(experiment.results / f"{LOOKUP}/shard-00000.safetensors")
    done = command("verify")
    first, last = done.stdout.splitlines()
    assert done.exit_code == 1
    assert "shard-00000.safetensors: damaged" in first
    assert last.endswith(": 1 wrong.")
    assert "verifying" in done.stderr


def test_trace_takes_a_run_or_a_cell(command, experiment):
    done = command("trace", COOP, "--json")
    (run,) = json.loads(done.stdout)["runs"]
    assert (done.exit_code, run["key"], run["predictions"]["state"]) == (0, COOP, "as recorded")
    table = str(experiment.results / "tables/base_to_novel.csv")
    done = command("trace", table, "--cell", f"{PATTERNS},coop", "--json")
    assert [run["key"] for run in json.loads(done.stdout)["runs"]] == [COOP, COOP[:-1] + "2"]
    replaced(experiment.results / f"adapting/{COOP}.safetensors")
    assert command("trace", COOP).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["results/tables/base_to_novel.csv"], "--cell is missing: give a data set and a method"),
        (["t.csv", "--cell", "dtd"], "--cell dtd: give a data set and a method, such as dtd,coop."),
        ([COOP, "--cell", "dtd,coop"], "is a run, which has no cells: leave out --cell and --shots."),
        (["coop"], "'coop' is not a run: name protocol, data set, method, shots and seed"),
    ],
)
def test_what_cannot_be_traced_is_said_in_one_sentence(command, arguments, sentence):
    done = command("trace", *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert sentence in done.stderr
