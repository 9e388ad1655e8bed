"""The commands, from a configuration and files of metrics to files of tables."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from report_runs import few, halves, transfer

from promptdistill.artifacts import Input, Sources, read_header, read_sealed, write_sealed
from promptdistill.cli.results import ablation, overview, table
from promptdistill.config.schema import digest
from promptdistill.errors import UserError
from promptdistill.experiment import Experiment
from promptdistill.files import read_json, sha256, write_json
from promptdistill.graph import Metrics
from promptdistill.provenance import versions
from promptdistill.report.record import read_record
from promptdistill.report.request import Request

CONFIG = Path(__file__).parents[2] / "config"
DATASETS = ["mini_shapes", "mini_emblems"]
METHODS = ["zero_shot", "coop", "coop+caspl"]
PROTOCOLS = {
    "base_to_novel": {"seeds": [1, 2]},
    "few_shot": {"shots": [1, 4], "seeds": [1, 2]},
    "transfer": {"source": "mini_patterns", "cross_dataset": DATASETS, "seeds": [1]},
}


class Folder:
    """A configuration with a folder of metrics, and the commands on it."""

    def __init__(self, folder, **changed):
        self.results = folder / "results"
        self.published = folder / "published"
        self.published.mkdir()
        content = {
            "results": str(self.results),
            "backbones": yaml.safe_load((CONFIG / "config.yaml").read_text())["backbones"],
            "datasets": DATASETS,
            "methods": METHODS,
            "protocols": PROTOCOLS,
            "ablation": ["fdbpl"],
            "overrides": {"boosting": {"prompt_depth": 3}, "fdbpl": {"prompt_depth": 2}},
            "published": str(self.published),
            "note": "Hello.",
            **changed,
        }
        self.file = folder / "config.yaml"
        self.file.write_text(yaml.safe_dump(content))
        self.experiment = Experiment.checked(content, CONFIG)

    def metrics(self, protocol, method, runs):
        """Write a file of metrics."""
        header = Sources(self.experiment.roots, Metrics(protocol, method).made(self.experiment)).header()
        content = {"protocol": protocol, "method": method, **header, "runs": runs}
        write_sealed(self.results / "metrics" / protocol / f"{method}.json", content)

    def invoke(self, command, *arguments):
        """Run a command; the folder of tables."""
        options = ["--config", str(self.file), "--config-dir", str(CONFIG)]
        result = CliRunner().invoke(command, [*arguments, *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return self.results / "tables"


@pytest.fixture
def folder(tmp_path):
    """The metrics of all runs of three methods."""
    made = Folder(tmp_path)
    for index, method in enumerate(METHODS):
        seeds, shots = ([1, 2], [1, 4]) if index else ([None], [0])
        runs = [halves(name, method, seed, 70 + index, 60) for name in DATASETS for seed in seeds]
        made.metrics("base_to_novel", method, runs)
        runs = [few(name, method, k, seed, 50 + index) for name in DATASETS for k in shots for seed in seeds]
        made.metrics("few_shot", method, runs)
        runs = [
            transfer(name, method, seeds[0], 60 + index, source="mini_patterns")
            for name in ("mini_patterns", *DATASETS)
        ]
        made.metrics("transfer", method, runs)
    return made


def test_few_shot(folder):
    markdown = (folder.invoke(table, "few_shot") / "few_shot.md").read_text()
    assert "| K = 0 | K = 1 | K = 4 |" in markdown
    assert "Hello." in markdown
    assert f"configuration {digest(folder.experiment.config)[:12]}, commit " in markdown


def test_transfer_with_published_numbers(folder):
    published = folder.published / "cross_dataset.csv"
    header = "method,dataset,shots,accuracy,backbone\n"
    published.write_text(header + "coop,mini_shapes,16,62.5,ViT-B-16:openai\n")
    tables = folder.invoke(table, "cross_dataset")
    markdown = (tables / "cross_dataset.md").read_text()
    assert "<u>61.00</u> [62.50, −1.50]" in markdown
    assert "mini_patterns (source)" in markdown
    record, _ = read_record(tables / "cross_dataset.csv", CONFIG)
    used = record.inputs["published"]
    assert folder.experiment.roots.locate(used) == published
    assert used.sha256 == sha256(published)


def test_the_record_of_what_a_table_was_made_from(folder):
    tables = folder.invoke(table, "cross_dataset")
    record, experiment = read_record(tables / "cross_dataset.csv", CONFIG)
    assert experiment == folder.experiment
    assert (record.table, record.datasets, record.source) == ("cross_dataset", DATASETS, "mini_patterns")
    assert (record.methods, record.shots, record.seeds) == (METHODS, [16], [1])
    assert record.configuration == experiment.config.model_dump(mode="json")
    assert record.config_sha256 == digest(experiment.config)
    assert record.versions == versions()
    assert {file.path: file.sha256 for file in record.files} == {
        name: sha256(tables / name)
        for name in ("cross_dataset.csv", "cross_dataset_seeds.csv", "cross_dataset_gains.csv")
    }
    files = {method: f"metrics/transfer/{method}.json" for method in METHODS}
    assert record.inputs == {
        f"metrics/{method}": Input(path=path, sha256=sha256(folder.results / path))
        for method, path in files.items()
    }
    assert read_header(tables / "cross_dataset_record.json")["inputs"] == record.inputs


def test_a_record_that_is_missing_or_of_another_version_is_refused(folder):
    tables = folder.invoke(table, "few_shot")
    with pytest.raises(UserError, match="does not exist, which says what few_shot_gains"):
        read_record(tables / "few_shot_gains.csv", CONFIG)
    path = tables / "few_shot_record.json"
    record = read_sealed(path)
    write_sealed(path, record | {"kind": "few_shot"})
    with pytest.raises(UserError, match=r"unknown key kind.* made by another version .*: make it again"):
        read_record(tables / "few_shot.csv", CONFIG)
    write_sealed(path, record | {"configuration": record["configuration"] | {"pace": 1}})
    with pytest.raises(UserError, match=r"unknown key pace.* made by another version"):
        read_record(tables / "few_shot.csv", CONFIG)


def test_a_method_beside_its_variants(folder):
    variants = folder.experiment.ablations["fdbpl"]
    for index, method in enumerate(("fdbpl", *variants)):
        runs = [halves(name, method, seed, 70 + seed, 60 + index) for name in DATASETS for seed in (1, 2)]
        folder.metrics("base_to_novel", method, runs)
    tables = folder.invoke(ablation, "fdbpl")
    markdown = (tables / "ablation_fdbpl.md").read_text()
    assert "# Ablation: FDBPL" in markdown
    assert "Hello." in markdown
    assert "+1.00 ± 0.00 (4/0/0" in markdown
    for ending in (".png", ".html", ".tex"):
        assert (tables / f"ablation_fdbpl{ending}").stat().st_size
    record, _ = read_record(tables / "ablation_fdbpl.csv", CONFIG)
    assert (record.table, record.methods) == ("base_to_novel", ["fdbpl", *variants])
    assert [file.path for file in record.files] == ["ablation_fdbpl.csv", "ablation_fdbpl_seeds.csv"]
    assert list(record.inputs) == [f"metrics/{method}" for method in record.methods]
    with pytest.raises(UserError, match="does not compare coop with its variants: add it under ablation"):
        folder.invoke(ablation, "coop")


def test_the_averages_of_all_tables(folder):
    for name in folder.experiment.tables:
        folder.invoke(table, name)
    folder.invoke(overview)
    averages = read_json(folder.results / "overview" / "metrics.json")
    assert list(averages) == ["base_to_novel", "few_shot", "cross_dataset"]
    assert averages["base_to_novel"]["coop"]["base"] == 71
    assert averages["few_shot"]["coop+caspl"]["accuracy_4shots"] == 52
    bars = (folder.results / "overview" / "averages.csv").read_text()
    assert "cross_dataset coop accuracy,61.0" in bars
    assert "base_to_novel coop base" not in bars


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cross_datasets", "no table 'cross_datasets' .did you mean cross_dataset"),
        ("domain_generalization", "no data set for the table domain_generalization: name some under"),
    ],
)
def test_a_table_that_is_not_made_is_refused(folder, name, message):
    with pytest.raises(UserError, match=message):
        folder.invoke(table, name)


def test_a_table_of_a_protocol_that_is_not_run_is_refused(tmp_path):
    folder = Folder(tmp_path, protocols={"few_shot": {}}, ablation=[], methods=["coop"])
    with pytest.raises(UserError, match="does not run base_to_novel: add it under protocols"):
        folder.invoke(table, "base_to_novel")


def test_metrics_of_something_else_are_refused(folder):
    path = folder.results / "metrics" / "few_shot" / "coop.json"
    path.write_bytes(path.with_name("zero_shot.json").read_bytes())
    with pytest.raises(UserError, match=r"coop.json is not few_shot/coop, but few_shot/zero_shot: delete"):
        folder.invoke(table, "few_shot")
    write_json(path, read_json(path) | {"seal_sha256": "0" * 64})
    with pytest.raises(UserError, match=r"coop.json is not as it was written: it is damaged, was edited"):
        folder.invoke(table, "few_shot")
    path.unlink()
    with pytest.raises(UserError, match=r"coop.json does not exist"):
        folder.invoke(table, "few_shot")


def test_a_request_is_what_the_experiment_says(folder):
    request = Request.of(folder.experiment, "few_shot")
    assert (request.protocol, request.shots, request.seeds) == ("few_shot", (1, 4), (1, 2))
    assert (request.datasets, request.source) == (tuple(DATASETS), None)
    assert list(request.titles) == METHODS
    assert request.titles["coop+caspl"] == "CoOp + CasPL"
    compared = Request.of_ablation(folder.experiment, "fdbpl")
    assert list(compared.titles) == ["fdbpl", *folder.experiment.ablations["fdbpl"]]
    assert compared.titles["fdbpl"] == folder.experiment.title("fdbpl")
