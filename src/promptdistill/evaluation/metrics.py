"""Metrics from predictions on disk."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from pyarrow import ArrowException

from ..data.protocols import CLASSES
from ..errors import UserError
from ..files import sha256

_ORIGIN = (
    "protocol",
    "dataset",
    "source",
    "method",
    "shots",
    "seed",
    "unlabelled",
    "transductive",
    "student",
    "student_sha256",
)


def harmonic_mean(base: float, novel: float) -> float:
    """2 · B · N / (B + N), and 0 where both are 0."""
    return 2 * base * novel / (base + novel) if base + novel else 0.0


def read_predictions(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions and their origin; UserError if the file is missing or damaged."""
    try:
        table = pq.read_table(path)
        return table.to_pandas(), json.loads(table.schema.metadata[b"promptdistill"])
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: evaluate this prompt first.") from None
    except (ArrowException, OSError, KeyError, TypeError):
        raise UserError(
            f"{path} is not a predictions file, or is damaged: delete it and evaluate again."
        ) from None


def accuracies(predictions: pd.DataFrame) -> dict[str, float]:
    """Percent of right predictions in each subset."""
    right = predictions["prediction"] == predictions["label"]
    return {
        str(name): 100 * float(share) for name, share in right.groupby(predictions["subset"]).mean().items()
    }


def metrics_of(path: Path) -> dict[str, Any]:
    """The figures (percent) of one predictions file, with where they come from.

    Base, novel and harmonic mean of the protocol base_to_novel, else the accuracy over all classes.
    """
    predictions, origin = read_predictions(path)
    accuracy = accuracies(predictions)
    wanted = {"base", "novel"} if origin["protocol"] == "base_to_novel" else {"all"}
    if set(accuracy) != wanted:
        missing = " and ".join(CLASSES[name] for name in sorted(wanted - set(accuracy)))
        raise UserError(f"{path} has no test image of {missing}: check the split.")
    return {
        **{key: origin[key] for key in _ORIGIN},
        **_figures(accuracy),
        "images": len(predictions),
        "predictions": str(path),
        "predictions_sha256": sha256(path),
    }


def _figures(accuracy: dict[str, float]) -> dict[str, float]:
    if "all" in accuracy:
        return {"accuracy": accuracy["all"]}
    return {**accuracy, "hm": harmonic_mean(accuracy["base"], accuracy["novel"])}
