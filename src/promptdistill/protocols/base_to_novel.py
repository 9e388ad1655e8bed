"""Base to novel: train on few shots of the base classes, test base and novel classes apart."""

from ..data.splits import Split
from .base import Metric, Protocol, ProtocolSettings, Session, Subset, SubsetResult, Table, subset


def harmonic_mean(base: float, novel: float) -> float:
    """2 · B · N / (B + N), and 0 where both are 0."""
    return 2 * base * novel / (base + novel) if base + novel else 0.0


METRICS = (
    Metric(name="base", heading="Base"),
    Metric(name="novel", heading="Novel"),
    Metric(
        name="hm",
        heading="HM",
        axis="harmonic mean of base and novel (%)",
        parts=("base", "novel"),
        mean_of=harmonic_mean,
    ),
)


class BaseToNovel(Protocol):
    """The first half of the classes, rounded up, is the base; each half has its own label set."""

    name = "base_to_novel"
    order = 1
    about = "train on few shots of the base classes; test base and novel classes apart"
    tables = (
        Table(
            name="base_to_novel",
            title="Base to novel",
            about="Accuracy in percent on the base and the novel classes, each against its own label set, "
            "and their harmonic mean (HM); mean ± standard deviation over seeds. A data set's HM is that of "
            "its mean base and mean novel accuracy, the average's HM that of the average base and average "
            "novel accuracy.",
            columns="metrics",
            headline="hm",
            students=True,
        ),
    )

    def sessions(self, split: Split, settings: ProtocolSettings) -> list[Session]:
        """The base classes."""
        return [Session(labels=split.base_labels, classes=split.base_labels)]

    def subsets(self, split: Split, settings: ProtocolSettings) -> list[Subset]:
        """The base and the novel classes, each against its own."""
        return [subset(split, "base", split.base_labels), subset(split, "novel", split.novel_labels)]

    def metrics(self, settings: ProtocolSettings) -> tuple[Metric, ...]:
        """Base and novel accuracy, and their harmonic mean."""
        return METRICS

    def measure(self, tested: list[SubsetResult]) -> dict[str, float]:
        """Base and novel accuracy, and their harmonic mean."""
        base, novel = (subset.accuracy() for subset in tested)
        return {"base": base, "novel": novel, "hm": harmonic_mean(base, novel)}


PROTOCOL = BaseToNovel()
