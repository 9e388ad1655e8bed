"""What a protocol is: one object that says everything which the rest of the program asks of it."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..data.splits import Item, Split, select_and_relabel
from ..run import MethodName, Seed
from ..validation import Strict


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """What a run is measured by.

    `axis` stands beside a plot.  `mean_of` says how an average follows from the averages of the metrics
    `parts`, where it is not the plain mean over data sets and seeds.  `step` is the place of a point on the
    table's curve, from 1; such points do not stand on the page.
    """

    name: str
    heading: str
    axis: str = "accuracy (%)"
    lower_is_better: bool = False
    parts: tuple[str, ...] = ()
    mean_of: Callable[..., float] | None = None
    step: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """How results of a protocol are laid out.

    `columns`: a block a data set with a column for each metric or number of shots; or one block with a
    column for each data set.  `curve` is what a plot's lines run over, none for bars of the `headline`.
    `students`: methods can stand in it that learn from a teacher's answers for all training images, which
    takes unlabelled images of every data set that is tested.
    """

    name: str
    title: str
    about: str
    columns: Literal["metrics", "shots", "datasets"]
    headline: str
    curve: Literal["shots", "sessions"] | None = None
    students: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One stretch of training: images of `labels`, told apart among `classes` (labels, in order)."""

    labels: list[int]
    classes: list[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subset:
    """Test images with a label set of their own; labels count in `class_names`.

    `session` is the index of the session after which they are tested.
    """

    name: str
    class_names: list[str]
    items: list[Item]
    session: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SubsetResult:
    """What came out of a subset: images, and right predictions among them, of each label that has any.

    `classes` counts its label set; `session` is the index of the session after which it was tested.
    """

    name: str
    classes: int
    session: int
    right: dict[int, int]
    images: dict[int, int]

    def accuracy(self, labels: Container[int] | None = None) -> float:
        """Percent of right predictions, of some labels or of all."""
        chosen = [label for label in self.images if labels is None or label in labels]
        return 100 * (
            sum(self.right[label] for label in chosen) / sum(self.images[label] for label in chosen)
        )


def subset(split: Split, name: str, labels: list[int], session: int = 0) -> Subset:
    """The test images of some classes, against these classes."""
    return Subset(
        name=name,
        class_names=split.class_names(labels),
        items=select_and_relabel(split.test, labels),
        session=session,
    )


class ProtocolSettings(Strict):
    """What the configuration says of every protocol."""

    shots: int = Field(16, ge=1)
    seeds: list[Seed] = Field([1, 2, 3], min_length=1)
    methods: list[MethodName] | None = Field(
        None, description="methods of this protocol; none: all of `methods` that can be applied to it"
    )
    overrides: dict[str, dict[str, Any]] = Field(
        {}, description="method name -> hyper-parameters that replace others in this protocol alone"
    )

    @model_validator(mode="after")
    def _no_repeats(self) -> "ProtocolSettings":
        refuse_repeats(seeds=self.seeds, methods=self.methods or [])
        return self


def refuse_repeats(**lists: list[Any]) -> None:
    """ValueError, for pydantic, if a list names something twice."""
    for key, values in lists.items():
        repeated = sorted({str(value) for value in values if values.count(value) > 1})
        if repeated:
            raise ValueError(f"{key} lists {', '.join(repeated)} more than once")


class Protocol:
    """What is trained on which classes, tested on which subsets, and shown in which tables.

    Subclasses set the class variables and say what differs; `docs/adding-a-protocol.md` shows one.
    `boosting` names the protocol whose settings its boosting prompts are learned with: protocols that name
    the same one share them.
    """

    name: ClassVar[str]
    order: ClassVar[int]  # among protocols, where they are run and shown
    about: ClassVar[str]  # in the configuration's schema
    Settings: ClassVar[type[ProtocolSettings]] = ProtocolSettings
    tables: ClassVar[tuple[Table, ...]]
    boosting: ClassVar[str] = "base_to_novel"

    def shots(self, settings: ProtocolSettings) -> list[int]:
        """The numbers of shots that are trained with."""
        return [settings.shots]

    def source(self, settings: ProtocolSettings) -> str | None:
        """The data set that is trained on, where others are tested; none: each one itself."""
        return None

    def tested(self, table: str, settings: ProtocolSettings, datasets: list[str]) -> list[str]:
        """The data sets that a table shows, without the source; `datasets` are the experiment's."""
        return datasets

    def parameters(self, settings: ProtocolSettings) -> dict[str, Any]:
        """What of the settings trainings and tests depend on: a change makes them again."""
        return settings.model_dump(exclude=set(ProtocolSettings.model_fields))

    def sessions(self, split: Split, settings: ProtocolSettings) -> list[Session]:
        """The stretches of training, in order: one on all classes, unless a protocol says otherwise."""
        return [Session(labels=split.labels, classes=split.labels)]

    def subsets(self, split: Split, settings: ProtocolSettings) -> list[Subset]:
        """What is tested: all test images against all classes, unless a protocol says otherwise."""
        return [subset(split, "all", split.labels)]

    def metrics(self, settings: ProtocolSettings) -> Sequence[Metric]:
        """What runs are measured by, in the tables' order."""
        return (ACCURACY,)

    def measure(self, tested: list[SubsetResult]) -> dict[str, float]:
        """The metrics, in percent, by name, from what came out of the subsets, in their order."""
        return {"accuracy": tested[0].accuracy()}


ACCURACY = Metric(name="accuracy", heading="Accuracy")
