"""Metrics from predictions on disk."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyarrow import ArrowException

from ..artifacts import INPUTS, Input, Roots, read_header
from ..errors import UserError
from ..files import write_json
from ..protocols.base import Protocol, SubsetResult
from ..run import RunKey

FACTS = (
    *("protocol", "dataset", "source", "method", "shots", "seed"),
    *("unlabelled", "transductive", "student", "student_sha256"),
)


def tested_subsets(path: Path) -> tuple[list[SubsetResult], dict[str, Any]]:
    """What was tested of each subset, in order, and the header; UserError for a missing or damaged file."""
    header = read_header(path)
    try:
        predictions = pq.read_table(path, page_checksum_verification=True).to_pandas()
    except (ArrowException, OSError):
        raise UserError(f"{path} is damaged: delete it and evaluate again.") from None
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


def write_metrics(paths: list[Path], protocol: Protocol, method: str, roots: Roots, output: Path) -> None:
    """Write the metrics of all runs of a method in a protocol; UserError for predictions of another one."""
    rows = [metrics_of(path, protocol, roots) for path in paths]
    for path, row in zip(paths, rows, strict=True):
        if (row["protocol"], row["method"]) != (protocol.name, method):
            raise UserError(
                f"{path} holds predictions of {row['method']} in {row['protocol']}, not of {method} in "
                f"{protocol.name}: delete it and run again."
            )
    inputs = {row["key"]: roots.record(path).model_dump() for path, row in zip(paths, rows, strict=True)}
    write_json(output, {"protocol": protocol.name, "method": method, INPUTS: inputs, "runs": rows})


def read_metrics(path: Path, protocol: str, method: str) -> tuple[list[dict[str, Any]], dict[str, Input]]:
    """The rows of a file of metrics, one a run, and the predictions that they come from, by run key.

    UserError if the file is missing, or is not of this method in this protocol.
    """
    header = read_header(path)
    found = header.get("protocol"), header.get("method")
    if found != (protocol, method) or not isinstance(header.get("runs"), list):
        raise UserError(
            f"{path} does not hold the metrics of {method} in {protocol}: delete it and run again."
        )
    return header["runs"], header[INPUTS]
