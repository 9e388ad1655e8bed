"""What the data sets of an experiment download."""

from collections.abc import Iterable
from pathlib import Path

from ..config.entries import load_dataset
from ..validation import Strict


class Downloads(Strict):
    """Bytes whose number is known, and what is beside them.

    `unknown` names files without a known size, `by_hand` data sets without an address, `drawn` those that the
    miniature generator draws.
    """

    bytes: int
    unknown: list[str]
    by_hand: list[str]
    drawn: list[str]


def downloads(datasets: Iterable[str], config_dir: Path) -> Downloads:
    """The files of the originals, or of the mirror where there is no original, as if none were here yet."""
    known, unknown, by_hand, drawn = 0, [], [], []
    for name in datasets:
        entry = load_dataset(name, config_dir)
        sources = entry.sources or entry.fallback
        if entry.miniature:
            drawn.append(name)
        elif not sources:
            by_hand.append(name)
        known += sum(source.size or 0 for source in sources)
        unknown += [f"{name}/{source.name}" for source in sources if source.size is None]
    return Downloads(bytes=known, unknown=unknown, by_hand=by_hand, drawn=drawn)
