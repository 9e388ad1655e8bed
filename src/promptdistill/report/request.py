"""The kinds of table, and what one table is asked to hold."""

from dataclasses import dataclass

from ..errors import UserError

AVERAGE = "average"  # stands where a data set's name would


@dataclass(frozen=True)
class Kind:
    """What sets one kind of table apart."""

    title: str
    about: str
    protocol: str  # of the metrics that it is made from
    figures: tuple[str, ...]  # what a run is measured by, in percent


_BASE_TO_NOVEL = Kind(
    title="Base to novel",
    about="Accuracy in percent on the base and the novel classes, each against its own label set, and "
    "their harmonic mean (HM); mean ± standard deviation over seeds. A data set's HM is that of its mean "
    "base and mean novel accuracy, the average's HM that of the average base and average novel accuracy.",
    protocol="base_to_novel",
    figures=("base", "novel", "hm"),
)
_FEW_SHOT = Kind(
    title="Few-shot",
    about="Accuracy in percent on all classes after training on K images of each; mean ± standard "
    "deviation over seeds. K = 0: without labelled images.",
    protocol="few_shot",
    figures=("accuracy",),
)
_CROSS_DATASET = Kind(
    title="Cross-dataset transfer",
    about="Accuracy in percent on other data sets than the one trained on; mean ± standard deviation over "
    "seeds. The average is over the targets, without the source.",
    protocol="transfer",
    figures=("accuracy",),
)
_DOMAIN_GENERALIZATION = Kind(
    title="Domain generalization",
    about="Accuracy in percent on the source's classes in other domains; mean ± standard deviation over "
    "seeds. The average is over the targets, without the source.",
    protocol="transfer",
    figures=("accuracy",),
)
KINDS = {
    "base_to_novel": _BASE_TO_NOVEL,
    "few_shot": _FEW_SHOT,
    "cross_dataset": _CROSS_DATASET,
    "domain_generalization": _DOMAIN_GENERALIZATION,
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one table is to hold; UserError if its parts do not fit together.

    `datasets` are those tested on, in order, without the `source`, which only tables of transfer have;
    `titles` gives the methods in order with their names; `shots` is one number, or several in a
    few-shot table.
    """

    kind: str
    datasets: tuple[str, ...]
    titles: dict[str, str]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    source: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"There is not a table {self.kind!r}: choose one of {', '.join(KINDS)}.")
        for name in ("datasets", "titles", "shots", "seeds"):
            values = list(getattr(self, name))
            if not values or len(set(values)) < len(values):
                raise UserError(f"{name} of the {self.kind} table: give each once, and at least one.")
        if self.kind != "few_shot" and len(self.shots) > 1:
            raise UserError(f"A {self.kind} table is for one number of shots, not {len(self.shots)}.")
        if min(self.shots) < 1:
            raise UserError("shots must be at least 1; methods without labelled images are always shown.")
        self._check_source()

    def _check_source(self) -> None:
        if self.is_transfer and self.source is None:
            raise UserError(f"A {self.kind} table needs the data set that was trained on: give its source.")
        if not self.is_transfer and self.source is not None:
            raise UserError(f"A {self.kind} table has no source ({self.source}): leave it out.")
        if self.source in self.datasets:
            raise UserError(f"{self.source} is the source: leave it out of the data sets to transfer to.")
        if AVERAGE in self.shown:
            raise UserError(f"A data set cannot be called {AVERAGE!r} in a table: rename it.")

    @property
    def is_transfer(self) -> bool:
        """Whether the table is about other data sets than the one trained on."""
        return KINDS[self.kind].protocol == "transfer"

    @property
    def figures(self) -> tuple[str, ...]:
        """What each run is measured by."""
        return KINDS[self.kind].figures

    @property
    def shown(self) -> tuple[str, ...]:
        """The data sets that have cells: the source, if any, then the others."""
        return (self.source, *self.datasets) if self.source else self.datasets
