"""The jobs of an experiment, one class a rule of the workflow: what each needs, and from that all of them.

A test compares them with Snakemake's own dry run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from .. import config as configuration
from .. import layout
from ..config import Regions, Table, Training
from .experiment import Experiment

STAGES = (
    "data",
    "splits",
    "regions",
    "teacher tuning",
    "lookup",
    "boosting",
    "features",
    "adapting",
    "distilling",
    "evaluation",
    "metrics",
    "tables",
    "tracking",
)

Kind = Literal["plain", "boosted", "boosted_transfer"]
Run = tuple[int, int]  # shots and seed


@dataclass(frozen=True)
class Job:
    """One job; two that are equal are the same one."""

    stage: ClassVar[str]
    rule: ClassVar[str]

    @property
    def name(self) -> str:
        """The name of its rule in the workflow."""
        return self.rule

    def needs(self, experiment: Experiment) -> Iterable["Job"]:
        """The jobs whose results it reads."""
        raise NotImplementedError


@dataclass(frozen=True)
class Batch(Job):
    """One job of several runs of a protocol; every batch has a rule of its own."""

    training: Training
    number: int
    runs: tuple[Run, ...]
    dataset: str

    @property
    def name(self) -> str:
        """The name of its rule in the workflow."""
        return f"{self.rule}_{self.training}_{self.number}"


@dataclass(frozen=True)
class Data(Job):
    """Fetch, draw or recognise a data set."""

    stage = "data"
    rule = "data"
    dataset: str

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """Nothing."""
        return []


@dataclass(frozen=True)
class Split(Job):
    """Check a data set's split."""

    stage = "splits"
    rule = "split"
    dataset: str

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The data set."""
        return [Data(self.dataset)]


@dataclass(frozen=True)
class Draw(Job):
    """Draw few shots."""

    stage = "splits"
    rule = "draw"
    dataset: str
    run: Run

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The split."""
        return [Split(self.dataset)]


@dataclass(frozen=True)
class StoredRegions(Job):
    """Cut random regions of every training image."""

    stage = "regions"
    rule = "regions"
    dataset: str
    regions: Regions

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The split."""
        return [Split(self.dataset)]


@dataclass(frozen=True)
class TuneTeacher(Job):
    """Tune the teacher on the few shots of a protocol's first seed."""

    stage = "teacher tuning"
    rule = "tune_teacher"
    METHOD: ClassVar[str] = "promptkd_teacher"
    dataset: str
    training: Training
    shots: int

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The draw, and stored regions."""
        seed = experiment.config.protocols.chosen()[self.training].seeds[0]
        regions = experiment.regions(self.METHOD, self.dataset, self.training)
        yield Draw(self.dataset, (self.shots, seed))
        yield from _stored(experiment, self.dataset, regions)


@dataclass(frozen=True)
class Lookup(Job):
    """Ask a teacher, tuned or (None) as it is, about regions of every training image."""

    stage = "lookup"
    rule = "lookup"
    dataset: str
    regions: Regions
    tuned: TuneTeacher | None = None

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """What its parts need, and the parts if there are several."""
        lookup = experiment.config.lookup
        parts = lookup.parts_of.get(self.dataset, lookup.parts)
        yield from self.answers_need(experiment)
        yield from (LookupPart(self, part) for part in range(parts) if parts > 1)

    def answers_need(self, experiment: Experiment) -> Iterable[Job]:
        """The split, the teacher's prompt and stored regions."""
        yield Split(self.dataset)
        yield from _stored(experiment, self.dataset, self.regions)
        if self.tuned:
            yield self.tuned


@dataclass(frozen=True)
class LookupPart(Job):
    """One part of a lookup that several jobs share."""

    stage = "lookup"
    rule = "lookup_part"
    whole: Lookup
    part: int

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """What the whole needs."""
        return self.whole.answers_need(experiment)


@dataclass(frozen=True)
class Boost(Job):
    """Learn a boosting prompt."""

    stage = "boosting"
    rule = "boost"
    dataset: str
    kind: Kind

    @property
    def training(self) -> Training:
        """The protocol whose settings it is learned with."""
        return "transfer" if self.kind == "boosted_transfer" else "base_to_novel"

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The zero-shot teacher's answers, and stored regions."""
        regions = experiment.regions("boosting", self.dataset, self.training)
        yield Lookup(self.dataset, regions)
        yield from _stored(experiment, self.dataset, regions)


@dataclass(frozen=True)
class EncodeDraws(Batch):
    """Encode random regions of few-shot draws with the student."""

    stage = "features"
    rule = "features"
    kind: Kind
    regions: Regions

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The draws, and the boosting prompt that the images are seen with."""
        yield Split(self.dataset)
        yield from (Draw(self.dataset, run) for run in self.runs)
        yield from _boosting(experiment, self.dataset, self.kind)


@dataclass(frozen=True)
class EncodeTest(Job):
    """Encode the test images with the student."""

    stage = "features"
    rule = "test_features"
    dataset: str
    kind: Kind

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The split, and the boosting prompt that the images are seen with."""
        yield Split(self.dataset)
        yield from _boosting(experiment, self.dataset, self.kind)


@dataclass(frozen=True)
class Adapt(Batch):
    """Learn a method's prompts on few shots."""

    stage = "adapting"
    rule = "adapt"
    method: str

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """Draws, and what the method has use for: a boosting prompt, stored regions, what is looked up."""
        directory, dataset, training = experiment.config_dir, self.dataset, self.training
        entry = experiment.entry(self.method)
        yield Split(dataset)
        yield from (Draw(dataset, run) for run in self.runs)
        if experiment.is_cascaded(self.method):
            yield from _boosting(experiment, dataset, layout.boosting_kind(training))
        if entry.learns_from != "regions":
            return
        regions = experiment.regions(self.method, dataset, training)
        if layout.sees_pixels(self.method, directory):
            yield from _stored(experiment, dataset, regions)
        if entry.asks_teacher:
            yield Lookup(dataset, regions)
        if kind := layout.feature_kind(self.method, directory, training):
            yield EncodeDraws(training, self.number, self.runs, dataset, kind, regions)


@dataclass(frozen=True)
class Distill(Batch):
    """Learn students of a tuned teacher."""

    stage = "distilling"
    rule = "distill"
    method: str

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The tuned teacher's answers, and stored regions."""
        regions = experiment.regions(self.method, self.dataset, self.training)
        tuned_on = experiment.trained_on(self.training, self.dataset)
        yield Lookup(self.dataset, regions, TuneTeacher(tuned_on, self.training, self.runs[0][0]))
        if layout.sees_pixels(self.method, experiment.config_dir):
            yield from _stored(experiment, self.dataset, regions)


@dataclass(frozen=True)
class EvaluateZeroShot(Job):
    """Test a method that learns nothing."""

    stage = "evaluation"
    rule = "evaluate_zero_shot"
    training: Training
    dataset: str
    method: str

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The split, and looked-up features."""
        yield Split(self.dataset)
        yield from _test_features(experiment, self.dataset, self.method, self.training)


@dataclass(frozen=True)
class Evaluate(Batch):
    """Test finished prompts."""

    stage = "evaluation"
    rule = "evaluate"
    method: str

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The prompts, learned here or on the source; the boosting prompt; and looked-up features."""
        source = experiment.trained_on(self.training, self.dataset)
        batch = (self.training, self.number, self.runs)
        yield Split(self.dataset)
        if experiment.entry(self.method).learns_from == "teacher":
            yield Distill(*batch, self.dataset, self.method)
        else:
            yield Adapt(*batch, source, self.method)
        if experiment.is_cascaded(self.method):
            yield from _boosting(experiment, source, layout.boosting_kind(self.training))
        yield from _test_features(experiment, self.dataset, self.method, self.training)


@dataclass(frozen=True)
class Metrics(Job):
    """Compute a method's accuracies in a protocol."""

    stage = "metrics"
    rule = "metrics"
    training: Training
    method: str

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """All its predictions."""
        config, training, method = experiment.config, self.training, self.method
        learns = experiment.entry(method).learns_from != "nothing"
        for dataset in configuration.evaluated(training, method, config, experiment.config_dir):
            if not learns:
                yield EvaluateZeroShot(training, dataset, method)
                continue
            for protocol, number, runs in configuration.batches(config):
                if protocol == training:
                    yield Evaluate(training, number, tuple(runs), dataset, method)


@dataclass(frozen=True)
class MakeTable(Job):
    """Make a table."""

    stage = "tables"
    rule = "table"
    table: Table

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The metrics of its rows."""
        training = configuration.training_of(self.table)
        rows = configuration.methods_of(self.table, experiment.config, experiment.config_dir)
        return [Metrics(training, method) for method in rows]


@dataclass(frozen=True)
class MakeAblation(Job):
    """Compare a method with its variants."""

    stage = "tables"
    rule = "ablation_table"
    method: str

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """The metrics of all of them."""
        variants = configuration.ablations(experiment.config, experiment.config_dir)[self.method]
        return [Metrics("base_to_novel", method) for method in (self.method, *variants)]


@dataclass(frozen=True)
class Overview(Job):
    """Gather the averages of all tables."""

    stage = "tables"
    rule = "overview"

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """All tables."""
        return _tables(experiment)


@dataclass(frozen=True)
class Track(Job):
    """Import all results into MLflow."""

    stage = "tracking"
    rule = "track"

    def needs(self, experiment: Experiment) -> Iterable[Job]:
        """All tables; what they are made from is there then."""
        return _tables(experiment)


def all_jobs(experiment: Experiment) -> list[Job]:
    """Every job that the workflow's target `all` takes, from an empty folder; each once."""
    return _with_needs([Overview(), Track()], experiment)


def ablation_jobs(experiment: Experiment) -> list[Job]:
    """Every job that the workflow's target `ablation` takes, from an empty folder; each once."""
    compared = configuration.ablations(experiment.config, experiment.config_dir)
    return _with_needs([MakeAblation(method) for method in compared], experiment)


def _with_needs(wanted: list[Job], experiment: Experiment) -> list[Job]:
    """Some jobs, and all whose results they read, each once."""
    found: dict[Job, None] = {}
    waiting = [*wanted]
    while waiting:
        job = waiting.pop()
        if job not in found:
            found[job] = None
            waiting.extend(job.needs(experiment))
    return list(found)


def _tables(experiment: Experiment) -> list[Job]:
    return [MakeTable(table) for table in configuration.tables(experiment.config)]


def _stored(experiment: Experiment, dataset: str, regions: Regions) -> list[Job]:
    return [StoredRegions(dataset, regions)] if experiment.config.regions.max_gb else []


def _boosting(experiment: Experiment, dataset: str, kind: Kind) -> list[Job]:
    """The boosting prompt of a kind, if it is one: for transfer, that of the source."""
    if kind == "plain":
        return []
    source = experiment.trained_on("transfer", dataset) if kind == "boosted_transfer" else dataset
    return [Boost(source, kind)]


def _test_features(experiment: Experiment, dataset: str, method: str, training: Training) -> list[Job]:
    """Features of the test images, for a method that learns nothing on the image side."""
    if experiment.entry(method).looks_up != "cascade":
        return []
    return [EncodeTest(dataset, layout.feature_kind(method, experiment.config_dir, training))]
