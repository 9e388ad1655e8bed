"""What one table is asked to hold: its layout and metrics are the protocol's, its rows the experiment's."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..config.entries import variants_of
from ..errors import UserError
from ..experiment import Experiment
from ..protocols import TABLES, protocol_of
from ..protocols.base import Metric, Table

AVERAGE = "average"  # stands where a data set's name would


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one table is to hold; UserError if its parts do not fit together.

    `metrics` are all that a run is measured by, in order; `datasets` those tested on, in order, without the
    `source`, which is trained on where others are tested; `titles` gives the methods in order with their
    names; `shots` is one number, or several where `table.columns` or its curve tell them apart.
    """

    protocol: str
    table: Table
    metrics: tuple[Metric, ...]
    datasets: tuple[str, ...]
    titles: dict[str, str]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    source: str | None = None

    @classmethod
    def of(cls, experiment: Experiment, table: str, titles: dict[str, str] | None = None) -> "Request":
        """What an experiment shows in a table, or, of the methods of `titles`, in the same way.

        UserError if it does not make the table.
        """
        protocol = protocol_of(table)
        settings = experiment.settings(protocol.name)
        if table not in experiment.tables:
            raise UserError(
                f"The configuration has no data set for the table {table}: name some under "
                f"protocols.{protocol.name}."
            )
        return cls(
            protocol=protocol.name,
            table=TABLES[table],
            metrics=tuple(protocol.metrics(settings)),
            datasets=tuple(experiment.tested(table)),
            titles=titles or {name: experiment.title(name) for name in experiment.methods_of(table)},
            shots=tuple(protocol.shots(settings)),
            seeds=tuple(settings.seeds),
            source=experiment.source(protocol.name),
        )

    @classmethod
    def of_ablation(cls, experiment: Experiment, method: str) -> "Request":
        """A method, first, and its variants; UserError if the experiment does not compare them."""
        if method not in experiment.ablations:
            raise UserError(
                f"The configuration does not compare {method} with its variants: add it under ablation."
            )
        titles = {name: own.title for name, own in variants_of(method, experiment.config_dir).items()}
        return cls.of(experiment, "base_to_novel", {method: experiment.title(method), **titles})

    def __post_init__(self) -> None:
        if AVERAGE in self.shown:
            raise UserError(f"A data set cannot be called {AVERAGE!r} in a table: rename it.")
        if self.table.columns != "shots" and len(self.shots) > 1:
            raise UserError(f"The table {self.table.name} is for one number of shots, not {len(self.shots)}.")

    @property
    def shown(self) -> tuple[str, ...]:
        """The data sets that have cells: the source, if any, then the others."""
        return (self.source, *self.datasets) if self.source else self.datasets

    @property
    def names(self) -> list[str]:
        """The names of all metrics."""
        return [metric.name for metric in self.metrics]

    @property
    def headline(self) -> Metric:
        """The metric that stands for a run where there is room for one."""
        return next(metric for metric in self.metrics if metric.name == self.table.headline)

    @property
    def columns(self) -> list[Metric]:
        """The metrics that the page shows."""
        if self.table.columns != "metrics":
            return [self.headline]
        return [metric for metric in self.metrics if not metric.step]

    def averages(self, means: Mapping[str, float]) -> dict[str, float]:
        """Averages of all metrics from their plain means: some follow from those of their parts."""
        return {
            metric.name: metric.mean_of(*(means[part] for part in metric.parts))
            if metric.mean_of
            else means[metric.name]
            for metric in self.metrics
        }

    def heading(self, dataset: str) -> str:
        """What a data set, or the average, is called in headings."""
        if not self.source:
            return dataset
        return {self.source: f"{dataset} (source)", AVERAGE: "average of targets"}.get(dataset, dataset)
