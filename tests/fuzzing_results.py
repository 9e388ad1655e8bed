"""Readers of results and numbers, for fuzzing: how a valid file is made, and read."""

from pathlib import Path

import pandas as pd

from fuzzing import Reader
from promptdistill.artifacts import Roots, Sources, write_sealed
from promptdistill.evaluation.metrics import metrics_of, read_metrics, write_metrics
from promptdistill.evaluation.predict import write_predictions
from promptdistill.files import sha256
from promptdistill.planning.throughput import SHIPPED, read_measured
from promptdistill.protocols import PROTOCOLS
from promptdistill.report.overview import read_table
from promptdistill.report.record import record_path
from promptdistill.report.summary import read_published

HEADER = {
    **{"protocol": "few_shot", "dataset": "own", "source": "own", "method": "coop", "shots": 1, "seed": 1},
    **{"unlabelled": False, "transductive": None, "student": "a:b", "student_sha256": "0" * 64},
    "subsets": [{"name": "all", "classes": 2, "session": 0}],
    **{"made": {"rule": "evaluate", "key": "few_shot/own/coop/1/1", "settings": {}}, "inputs": {}},
}


def _roots(folder: Path) -> Roots:
    return Roots(results=folder, data=folder / "data", config=folder / "config")


def _predictions(folder: Path) -> Path:
    names = ["a.png", "b.png", "c.png"]
    frame = pd.DataFrame({"path": names, "subset": "all", "label": [0, 1, 1], "prediction": [0, 1, 0]})
    write_predictions(folder / "p.parquet", frame, HEADER)
    return folder / "p.parquet"


def _metrics(folder: Path) -> Path:
    used = Sources(_roots(folder), **{"few_shot/own/coop/1/1": _predictions(folder)})
    write_metrics(used, PROTOCOLS["few_shot"], "coop", folder / "m.json")
    return folder / "m.json"


def _table(folder: Path) -> Path:
    table = folder / "few_shot.csv"
    table.write_text("dataset,method,shots,metric,mean\naverage,coop,1,accuracy,50.5\n")
    write_sealed(record_path(table), {"files": [{"path": table.name, "sha256": sha256(table)}]})
    return table


def _published(folder: Path) -> Path:
    (folder / "p.csv").write_text(
        "method,dataset,shots,backbone,accuracy\ncoop,dtd,16,ViT-B-16:openai,69.9\n"
    )
    return folder / "p.csv"


def _measured(folder: Path) -> Path:
    (folder / "m.csv").write_bytes(SHIPPED.read_bytes())
    return folder / "m.csv"


READERS = {
    "predictions": Reader(
        _predictions, lambda path: metrics_of(path, PROTOCOLS["few_shot"], _roots(path.parent))
    ),
    "metrics": Reader(_metrics, read_metrics),
    "table": Reader(_table, read_table),
    "record of a table": Reader(
        lambda folder: record_path(_table(folder)), lambda path: read_table(path.with_name("few_shot.csv"))
    ),
    "published numbers": Reader(_published, lambda path: read_published(path, ["accuracy"])),
    "measured steps": Reader(_measured, read_measured),
}
