"""Class-incremental: the classes come in sessions; after each, all classes seen so far are tested."""

from itertools import accumulate, pairwise
from statistics import mean

from pydantic import Field

from ..data.splits import Split
from ..errors import UserError
from .base import Metric, Protocol, ProtocolSettings, Session, Subset, SubsetResult, Table, subset


class ClassIncrementalSettings(ProtocolSettings):
    """In how many sessions the classes come."""

    sessions: int = Field(10, ge=2, description="stretches of training that the classes are divided among")


def divided(labels: list[int], sessions: int) -> list[list[int]]:
    """The labels in order, cut into sessions as even as possible: the first ones have one more.

    UserError for fewer labels than sessions.
    """
    if len(labels) < sessions:
        raise UserError(
            f"class_incremental divides {len(labels)} classes among {sessions} sessions, so some would have "
            "none: set protocols.class_incremental.sessions lower, or leave the data set out."
        )
    size, more = divmod(len(labels), sessions)
    ends = [size * index + min(index, more) for index in range(sessions + 1)]
    return [labels[start:end] for start, end in pairwise(ends)]


class ClassIncremental(Protocol):
    """A prompt goes on from session to session, without images of earlier ones.

    Training tells a session's images apart among all classes seen so far: their names stay known (our choice,
    as in the plain baselines of class-incremental learning).
    """

    name = "class_incremental"
    order = 4
    about = "train on few shots of one group of classes after the other; after each, test all classes seen"
    Settings = ClassIncrementalSettings
    tables = (
        Table(
            name="class_incremental",
            title="Class-incremental",
            about="Accuracy in percent over all classes seen so far, after each session of training on new "
            "classes without images of earlier ones: its average over the sessions, and after the last. "
            "Forgetting: how many points the accuracy on a session's own classes falls on average, from its "
            "best to the end; it also falls because the label set grows. Mean ± standard deviation over "
            "seeds.",
            columns="metrics",
            headline="average",
            curve="sessions",
        ),
    )

    def sessions(self, split: Split, settings: ClassIncrementalSettings) -> list[Session]:
        """The classes in order, a part of them in each; every class seen so far is known."""
        parts = divided(split.labels, settings.sessions)
        seen = accumulate(parts)  # lists, one behind the other
        return [Session(labels=own, classes=known) for own, known in zip(parts, seen, strict=True)]

    def subsets(self, split: Split, settings: ClassIncrementalSettings) -> list[Subset]:
        """After each session, the test images of all classes seen so far, against these classes."""
        return [
            subset(split, f"after_{index + 1}", session.classes, index)
            for index, session in enumerate(self.sessions(split, settings))
        ]

    def metrics(self, settings: ClassIncrementalSettings) -> list[Metric]:
        """Average and last accuracy, forgetting, and the curve of accuracy by session."""
        seen = "accuracy over the classes seen (%)"
        return [
            Metric(name="average", heading="Average", axis=seen),
            Metric(name="last", heading="Last", axis=seen),
            Metric(name="forgetting", heading="Forgetting", axis="forgetting (points)", lower_is_better=True),
            *(
                Metric(name=f"accuracy_{index}", heading=f"After {index}", axis=seen, step=index)
                for index in range(1, settings.sessions + 1)
            ),
        ]

    def measure(self, tested: list[SubsetResult]) -> dict[str, float]:
        """The metrics from what came out after each session.

        Forgetting is the mean over all sessions but the last of the best accuracy on the session's own
        classes, after any session but the last, less that after the last (Chaudhry et al., arXiv 1801.10112).
        """
        accuracies = [subset.accuracy() for subset in tested]
        ends = [0, *(subset.classes for subset in tested)]
        own = [range(start, end) for start, end in pairwise(ends[:-1])]
        fallen = [
            max(subset.accuracy(labels) for subset in tested[index:-1]) - tested[-1].accuracy(labels)
            for index, labels in enumerate(own)
            if any(label in tested[-1].images for label in labels)
        ]
        return {
            "average": mean(accuracies),
            "last": accuracies[-1],
            "forgetting": mean(fallen) if fallen else 0.0,
            **{f"accuracy_{index}": value for index, value in enumerate(accuracies, 1)},
        }


PROTOCOL = ClassIncremental()
