"""A finished folder of results, as the graph of artifacts lays it out, with numbers that are made up.

Every artifact names its inputs and has the header that the real one has; nothing was computed, so it is there
in a second.
"""

import json
import struct
from itertools import count
from pathlib import Path

import pandas as pd

from promptdistill import graph
from promptdistill.artifacts import CLASSIFIER, KEY, Sources, history_path, write_sealed
from promptdistill.config.schema import digest
from promptdistill.evaluation.metrics import read_metrics, write_metrics
from promptdistill.evaluation.predict import write_predictions
from promptdistill.experiment import Experiment
from promptdistill.files import sha256, write_text
from promptdistill.protocols import PROTOCOLS, protocol_of
from promptdistill.provenance import commit, versions
from promptdistill.report.record import TableRecord, record_path
from promptdistill.run import is_cascaded
from promptdistill.validation import read_yaml

CONFIG_DIR = Path(__file__).parents[2] / "config"
EVERY_KIND = Path(__file__).parents[1] / "workflow/trace.yaml"  # of artifacts and tables
IMAGES = 20  # of each subset
SECONDS = 3.5  # of every job


def experiment_in(folder, file, results="results", **changes):
    """The experiment of a file, with its results below a folder."""
    content = (
        read_yaml(file) | changes | {"results": str(folder / results), "data_root": str(folder / "data")}
    )
    return Experiment.checked(content, CONFIG_DIR)


def make_results(experiment):
    """Write all artifacts of an experiment; those first that others are made from."""
    maker, made = _Maker(experiment), set()

    def make(artifact):
        if artifact not in made:
            made.add(artifact)
            for own in artifact.inputs(experiment).values():
                for one in own:
                    make(one)
            maker.make(artifact)

    wanted = [one for one in graph.targets(experiment) if isinstance(one, graph.Table)]
    for artifact in [*wanted, *map(graph.AblationTable, experiment.ablations)]:
        make(artifact)


class _Maker:
    def __init__(self, experiment):
        self.experiment = experiment
        self.roots = experiment.roots
        self.numbers = count()

    def make(self, artifact):
        path = self.roots.results / artifact.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(artifact, graph.Table | graph.AblationTable):
            self.table(artifact, path.with_suffix(""))
        elif isinstance(artifact, graph.Metrics):
            inputs = artifact.inputs(self.experiment)["predictions"]
            used = self.sources(artifact, {one.key: one for one in inputs})
            write_metrics(used, PROTOCOLS[artifact.protocol], artifact.method, path)
        elif isinstance(artifact, graph.Predictions):
            self.predictions(artifact, path)
        elif path.suffix == ".safetensors":
            self.prompt(artifact, path)
        elif path.name == "manifest.json":
            self.manifest(artifact, path)
        elif isinstance(artifact, graph.Receipt):
            write_sealed(path, {"dataset": artifact.dataset, **self.header(artifact)})
        else:
            about = {**self.header(artifact), **artifact.wildcards}
            write_sealed(path, {"train": next(self.numbers), KEY: about})

    def header(self, artifact):
        own = artifact.inputs(self.experiment).items()
        return self.sources(
            artifact, {name: made[0] for name, made in own if len(made) == 1 and name != "parts"}
        ).header()

    def sources(self, artifact, used):
        paths = {name: self.roots.results / one.path for name, one in used.items()}
        return Sources(self.roots, artifact.made(self.experiment), **paths)

    def manifest(self, artifact, path):
        def beside(name):
            write_text(path.with_name(name), f"{artifact.key} {name}")
            return sha256(path.with_name(name))

        shards = [f"shard-0000{number}.safetensors" for number in range(2)]
        header = {**self.header(artifact), "shards": [{"file": n, "sha256": beside(n)} for n in shards]}
        if isinstance(artifact, graph.Lookup):
            header["classifier"] = {"class_names": ["a"], "sha256": beside(CLASSIFIER)}
        write_sealed(path, header)

    def prompt(self, artifact, path):
        protocol = artifact.protocol
        method = getattr(artifact, "method", "boosting")
        regions = None
        if self.experiment.method(method).learns_from != "images":
            regions = self.experiment.regions(method, artifact.dataset, protocol).model_dump()
        header = {
            "method": method,
            "protocol": protocol,
            "dataset": artifact.dataset,
            "shots": getattr(artifact, "shots", None),
            "seed": getattr(artifact, "seed", 1),
            "hyperparameters": self.experiment.hyperparameters(method, artifact.dataset, protocol),
            "sessions": [["a", "b", "c"]],
            "template": "a photo of a {}.",
            "regions": regions,
            "precision": "float32",
            "threads": 1,
            "versions": versions(),
            **self.header(artifact),
        }
        text = json.dumps({"__metadata__": {KEY: json.dumps(header)}, "n": next(self.numbers)}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text)
        name = "C" if method == "linear_probe" else "loss"
        rows = [{name: 1 / (1 + next(self.numbers)), "lr": 0.5} for _ in range(2)]
        if name == "loss":
            rows = [{"epoch": epoch, **row} for epoch, row in enumerate(rows)]
        write_sealed(history_path(path), {"rows": rows})
        for group in self.experiment.job_groups:
            if isinstance(artifact, graph.Prompt) and group.protocol == protocol:
                folder = f"benchmarks/adapting/{protocol}/{artifact.dataset}/{method}"
                write_text(
                    self.roots.results / folder / f"{group.index}.tsv", f"s\tmax_rss\n{SECONDS}\t700\n"
                )

    def predictions(self, artifact, path):
        source = self.experiment.trained_on(artifact.protocol, artifact.dataset, artifact.method)
        subsets = self.subsets(artifact.protocol)
        right = 5 + next(self.numbers) % 10
        frame = pd.DataFrame(
            [
                {"subset": one["name"], "label": label, "prediction": label if image < right else -1}
                for one in subsets
                for image in range(IMAGES)
                for label in [image % one["classes"]]
            ]
        )
        unlabelled = is_cascaded(artifact.method)
        header = {
            **artifact.run._asdict(),
            "source": source if artifact.shots else None,
            "unlabelled": unlabelled,
            "transductive": "images and class names" if unlabelled else None,
            "student": "miniature-student:miniature",
            "student_sha256": "5" * 64,
            "subsets": subsets,
            **self.header(artifact),
        }
        write_predictions(path, frame, header)

    def subsets(self, protocol):
        """What is tested: two classes of each subset, or two more after each session."""
        if protocol == "class_incremental":
            sessions = range(self.experiment.settings(protocol).sessions)
            return [{"name": f"after_{i + 1}", "classes": 2 * i + 2, "session": i} for i in sessions]
        names = ["base", "novel"] if protocol == "base_to_novel" else ["all"]
        return [{"name": name, "classes": 2, "session": 0} for name in names]

    def table(self, artifact, path):
        name = getattr(artifact, "table", "base_to_novel")
        protocol = protocol_of(name).name
        settings = self.experiment.settings(protocol)
        source, datasets = self.experiment.source(protocol), self.experiment.tested(name)
        made = artifact.inputs(self.experiment)["metrics"]
        files = self.sources(artifact, {f"metrics/{one.method}": one for one in made})
        metrics = [metric.name for metric in PROTOCOLS[protocol].metrics(settings)]
        rows = pd.DataFrame([row for file in files.values() for row in read_metrics(file)[0]])
        rows = rows[rows["dataset"].isin([source, *datasets])]
        rows.to_csv(f"{path}_seeds.csv", index=False)
        cells = rows.melt(["dataset", "method", "shots"], metrics, "metric")
        average = cells[cells["dataset"].isin(datasets)].assign(dataset="average")
        if isinstance(artifact, graph.AblationTable):
            by, cells = ["method", "metric"], average
        else:
            by, cells = ["dataset", "method", "shots", "metric"], pd.concat([cells, average])
        grouped = cells.groupby(by, sort=False)["value"].agg(["mean", "std"]).reset_index()
        grouped.assign(partial=False).to_csv(f"{path}.csv", index=False)
        for ending in ("_gains.csv", ".png", ".html"):
            write_text(path.with_name(path.name + ending), name)
        record = TableRecord(
            table=name,
            datasets=datasets,
            source=source,
            methods=[file.removeprefix("metrics/") for file in files],
            shots=PROTOCOLS[protocol].shots(settings),
            seeds=settings.seeds,
            config_sha256=digest(self.experiment.config),
            configuration=self.experiment.config.model_dump(mode="json"),
            commit=commit(),
            versions=versions(),
            files=[
                {"path": f"{path.name}{ending}", "sha256": sha256(Path(f"{path}{ending}"))}
                for ending in (".csv", "_seeds.csv", "_gains.csv")
            ],
            **files.header(),
        )
        write_sealed(record_path(path), record.model_dump())
