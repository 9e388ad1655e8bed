"""Seconds from operations: measured steps, and how they are carried over to others."""

import csv
from math import exp, log
from pathlib import Path
from statistics import median

import numpy as np
from pydantic import ConfigDict, Field

from ..errors import UserError
from ..files import read_text
from ..validation import Strict, validate
from .work import ENCODE, Work

SHIPPED = Path(__file__).with_name("measured.csv")


class Measured(Strict):
    """One measured step of a method, or the encoding of one image (method `encode`).

    `gflop` are its operations as `flops.py` counts them, in billions; `benchmarks/steps.py` writes such rows,
    with other columns.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    method: str
    student: str
    device: str
    threads: int = Field(ge=1)
    precision: str
    gflop: float = Field(gt=0)
    seconds: float = Field(gt=0)

    @property
    def on_gpu(self) -> bool:
        """Whether it was measured on a GPU."""
        return self.device.startswith("cuda")

    @property
    def machine(self) -> str:
        """What was measured on, in words."""
        cores = f" ({self.threads} thread{'s' * (self.threads > 1)})" if self.device == "cpu" else ""
        return f"{self.student} on {self.device}{cores}, {self.precision}"


def read_measured(path: Path = SHIPPED) -> list[Measured]:
    """Measured steps from a CSV file; of `benchmarks/steps.py`'s, those of our own way.

    Raises UserError if the file or a column is missing, a value is not a number, or no row is left.
    """
    rows = list(csv.DictReader(read_text(path).splitlines()))
    rows = [row for row in rows if row.get("way", "ours") == "ours"]
    if not rows:
        raise UserError(f"{path} has no row of measured steps: benchmarks/steps.py writes some.")
    return [validate(Measured, row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]


class Throughput:
    """Seconds that one step, or the encoding of one image, takes, told by what was measured.

    Between two measured steps of a method, seconds follow a straight line over the operations, both on a
    logarithmic scale; beyond them, the rate of the nearest holds.  What was not measured takes the median of
    what the measured methods would take for as many operations.
    """

    def __init__(self, rows: list[Measured]) -> None:
        self.machines = list(dict.fromkeys(row.machine for row in rows))
        self._points: dict[str, list[tuple[float, float]]] = {}
        for row in sorted(rows, key=lambda row: row.gflop):
            self._points.setdefault(row.method, []).append((log(row.gflop * 1e9), log(row.seconds)))

    @classmethod
    def of(cls, rows: list[Measured], on_gpu: bool) -> "Throughput | None":
        """That of what was measured on a GPU, or elsewhere; None where nothing was."""
        own = [row for row in rows if row.on_gpu is on_gpu]
        return cls(own) if own else None

    @property
    def measured(self) -> list[str]:
        """The methods that were measured, and `encode`."""
        return list(self._points)

    def hours(self, works: list[Work]) -> float:
        """Hours that all of some works take."""
        return sum(self.seconds(work.what, work.flops) * work.times for work in works) / 3600

    def seconds(self, what: str, flops: float) -> float:
        """Seconds of one step of a method, or of one encoding, of so many operations."""
        if what in self._points:
            return _on_line(self._points[what], flops)
        methods = [points for name, points in self._points.items() if name != ENCODE]
        return median(_on_line(points, flops) for points in methods or self._points.values())


def _on_line(points: list[tuple[float, float]], flops: float) -> float:
    x, y = zip(*points, strict=True)
    nearest = min(max(log(flops), x[0]), x[-1])
    return exp(float(np.interp(nearest, x, y)) + log(flops) - nearest)
