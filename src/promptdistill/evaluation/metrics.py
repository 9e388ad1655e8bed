"""Metrics from predictions on disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from pyarrow import ArrowException

from ..artifacts import INPUTS, Input, Roots, Sources, is_whole, raw_header, read_header, write_sealed
from ..errors import UserError
from ..protocols.base import Protocol, SubsetResult
from ..run import RunKey

FACTS = (
    *("protocol", "dataset", "source", "method", "shots", "seed"),
    *("unlabelled", "transductive", "student", "student_sha256"),
)


def columns(predictions: pd.DataFrame) -> Iterator[bytes]:
    """The content of predictions, column by column, for their seal."""
    for name, column in predictions.items():
        numbers = pd.api.types.is_numeric_dtype(column)
        values = column.to_numpy().tobytes() if numbers else "\0".join(column).encode()
        yield f"{name} {len(column)} ".encode() + values


def tested_subsets(path: Path) -> tuple[list[SubsetResult], dict[str, Any]]:
    """What was tested of each subset, in order, and the header; UserError for a missing or damaged file."""
    header = read_header(path)
    try:
        predictions = pq.read_table(path, page_checksum_verification=True).to_pandas()
        whole = is_whole(raw_header(path), columns(predictions))
    except (ArrowException, OSError, ValueError):
        whole = False
    if not whole:
        raise UserError(f"{path} is damaged, or was edited: delete it and evaluate again.")
    right = predictions["prediction"] == predictions["label"]
    counted = right.groupby([predictions["subset"], predictions["label"]]).agg(["sum", "count"])
    tested = []
    for subset in header["subsets"]:
        if subset["name"] not in counted.index:
            raise UserError(f"{path} has no test image of the subset {subset['name']}: check the split.")
        right, images = (counted.loc[subset["name"]][name].to_dict() for name in ("sum", "count"))
        tested.append(SubsetResult(**subset, right=right, images=images))
    return tested, header


def metrics_of(path: Path, protocol: Protocol, roots: Roots) -> dict[str, Any]:
    """One predictions file as a row: which run it is, its metrics (percent), and where they come from."""
    tested, header = tested_subsets(path)
    key = RunKey(*(header[part] for part in RunKey._fields))
    return {
        "key": str(key),
        **{name: header[name] for name in FACTS},
        **protocol.measure(tested),
        "images": sum(sum(subset.images.values()) for subset in tested),
        "predictions": roots.record(path).path,
    }


def write_metrics(predictions: Sources, protocol: Protocol, method: str, output: Path) -> None:
    """Write the metrics of all runs of a method in a protocol; their predictions are named by their keys."""
    rows = [metrics_of(path, protocol, predictions.roots) for path in predictions.values()]
    about = {"protocol": protocol.name, "method": method}
    write_sealed(output, {**about, **predictions.header(), "runs": rows})


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], dict[str, Input]]:
    """The rows of a file of metrics, one a run, and the predictions that they come from, by run key."""
    header = read_header(path)
    if not isinstance(header.get("runs"), list):
        raise UserError(f"{path} does not hold metrics of this version: delete it and run again.")
    return header["runs"], header[INPUTS]
