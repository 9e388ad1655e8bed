"""The command, from a file of metrics to files of tables."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from report_runs import FEW, TRANSFER

from promptdistill import config as configuration
from promptdistill.cli.tables import table
from promptdistill.config import TABLES
from promptdistill.errors import UserError
from promptdistill.files import sha256
from promptdistill.provenance import versions
from promptdistill.report import request
from promptdistill.report.origin import read_origin

CONFIG = Path(__file__).parents[2] / "config"


def invoke(tmp_path, kind, metrics, *options):
    files = {"one.json": metrics[:5], "others.json": metrics[5:]}
    for name, rows in files.items():
        (tmp_path / name).write_text(json.dumps(rows))
    given = [part for name in files for part in ("--metrics", tmp_path / name)]
    methods = [part for name in ("zero_shot", "coop", "coop+caspl") for part in ("--method", name)]
    common = [*given, "--dataset", "a", "--dataset", "b", *methods]
    where = ["--config-dir", CONFIG, "--output", tmp_path / "t"]
    arguments = [str(part) for part in (kind, *common, *where, *options)]
    return CliRunner().invoke(table, arguments, catch_exceptions=False)


def test_few_shot(tmp_path):
    shots = ["--shots", 1, "--shots", 4, "--seed", 1, "--seed", 2]
    result = invoke(tmp_path, "few_shot", FEW, *shots, "--note", "Hello.")
    assert result.exit_code == 0, result.output
    markdown = (tmp_path / "t.md").read_text()
    assert "| K = 0 | K = 1 | K = 4 |" in markdown
    assert "Hello." in markdown


def test_transfer_with_published_numbers(tmp_path):
    (tmp_path / "p.csv").write_text(
        "method,dataset,shots,accuracy,backbone\ncoop,a,16,62.5,ViT-B-16:openai\n"
    )
    options = ["--source", "s", "--shots", 16, "--seed", 1, "--seed", 2, "--seed", 3]
    result = invoke(tmp_path, "cross_dataset", TRANSFER, *options, "--published", tmp_path / "p.csv")
    assert result.exit_code == 0, result.output
    assert "<u>62.00 ± 1.00</u> [62.50, −0.50]" in (tmp_path / "t.md").read_text()


def test_the_record_of_what_a_table_was_made_from(tmp_path):
    experiment = configuration.load(configuration.read_yaml(CONFIG / "config.yaml"), CONFIG)
    options = ["--source", "s", "--shots", 16, "--seed", 1, "--seed", 2, "--seed", 3]
    options += ["--configuration", experiment.model_dump_json()]
    assert invoke(tmp_path, "cross_dataset", TRANSFER, *options).exit_code == 0
    origin = read_origin(tmp_path / "t.csv")
    assert (origin.kind, origin.datasets, origin.source) == ("cross_dataset", ["a", "b"], "s")
    assert (origin.shots, origin.seeds) == ([16], [1, 2, 3])
    assert origin.configuration == experiment.model_dump(mode="json")
    assert origin.config_sha256 == configuration.digest(experiment)
    assert f"configuration {origin.config_sha256[:12]}, commit " in (tmp_path / "t.md").read_text()
    assert [file.path for file in origin.files] == ["t.csv", "t_seeds.csv", "t_gains.csv"]
    assert all(file.sha256 == sha256(tmp_path / file.path) for file in origin.files)
    assert {Path(file.path).name: file.methods for file in origin.metrics} == {
        "one.json": ["coop"],
        "others.json": ["coop", "coop+caspl", "zero_shot"],
    }
    assert all(file.sha256 == sha256(Path(file.path)) for file in origin.metrics)
    assert origin.versions == versions()
    assert origin.published is None


def test_a_missing_source_is_refused(tmp_path):
    with pytest.raises(UserError, match="needs the data set that was trained on"):
        invoke(tmp_path, "cross_dataset", TRANSFER, "--shots", 16, "--seed", 1)


def test_a_configuration_that_is_none(tmp_path):
    options = ["--shots", 1, "--seed", 1, "--configuration", '{"results": "r"}']
    with pytest.raises(UserError, match="--configuration: missing key backbones"):
        invoke(tmp_path, "few_shot", FEW, *options)
    assert not (tmp_path / "t.csv").exists()


def test_the_command_knows_every_table():
    assert tuple(request.KINDS) == TABLES
