"""How far a long step is: a bar on a terminal, and lines now and then in a log."""

import sys
import time
from contextlib import AbstractContextManager
from typing import Any, Self

from tqdm import tqdm

SECONDS = 30.0  # between two lines, unless a step takes longer


def progress(total: int | None, desc: str, unit: str, initial: int = 0) -> AbstractContextManager[Any]:
    """Shows on stderr how many of `total` units ("B" for bytes) are done, within a `with` block.

    What the block gets has `update(n=1)` and `set_postfix(loss=…)`.
    """
    if sys.stderr.isatty():
        scaled = unit == "B"
        return tqdm(total=total, desc=desc, unit=unit, initial=initial, unit_scale=scaled, mininterval=1)
    return _Lines(total, desc, unit, initial)


class _Lines:
    """Whole lines, as `tqdm` would print one over the other: at the start, now and then, and at the end."""

    def __init__(self, total: int | None, desc: str, unit: str, initial: int) -> None:
        self._total, self._desc, self._unit = total, desc, unit
        self._done = self._initial = initial
        self._postfix = ""

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._say()
        return self

    def __exit__(self, *error: object) -> None:
        self._say()

    def update(self, n: int = 1) -> None:
        """Count `n` more units as done."""
        self._done += n
        if time.monotonic() - self._said >= SECONDS:
            self._say()

    def set_postfix(self, **values: Any) -> None:
        """Show these values in the lines to come."""
        self._postfix = "".join(f", {name} {value}" for name, value in values.items())

    def _say(self) -> None:
        self._said = time.monotonic()
        seconds, new = self._said - self._started, self._done - self._initial
        count = self._number(self._done)
        if self._total is not None:
            count += f" of {self._number(self._total)}"
        rate = f", {self._number(new / seconds)} a second" if new and seconds else ""
        took = tqdm.format_interval(seconds)
        line = f"{self._desc}: {count} ({self._unit}) after {took}{rate}{self._postfix}"
        print(line, file=sys.stderr, flush=True)

    def _number(self, value: float) -> str:
        if self._unit == "B":
            return tqdm.format_sizeof(value)
        return str(value) if isinstance(value, int) else f"{value:.3g}"
