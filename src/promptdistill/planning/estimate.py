"""A plan: jobs, hours and disk of every stage of an experiment, and its downloads."""

from collections import Counter
from dataclasses import dataclass, field

from pydantic import computed_field

from ..config.experiment import digest
from ..experiment import Experiment, weights_files
from ..graph import AblationTable, Artifact, Lookup, Receipt, everything, targets
from ..validation import Strict
from .disk import bytes_of
from .downloads import Downloads, downloads
from .sizes import UnknownError
from .throughput import Measured, Throughput
from .work import Work, work_of

STAGES = (
    "data",
    "splits",
    "regions",
    "teacher tuning",
    "lookup",
    "boosting",
    "features",
    "adapting",
    "evaluation",
    "metrics",
    "tables",
    "tracking",
)
_ABLATION = "ablation"
_COMPUTE = ("teacher tuning", "lookup", "boosting", "features", "adapting", "evaluation", _ABLATION)
_HOUR = 3600


class Stage(Strict):
    """What one stage takes.

    `flops` are operations, `hours` those at a measured throughput, `gpu_hours` those on a GPU.  All three
    are None where no model runs, or nothing is known of what it computes; `hours` also where all steps were
    measured on a GPU.
    """

    name: str
    jobs: int
    flops: float | None
    hours: float | None
    gpu_hours: float | None
    disk_bytes: int


class Basis(Strict):
    """What hours rest on: the `machines` that steps were measured on, and what was `not_measured` there.

    The latter are methods, and `encode`, whose throughput is that of the others.
    """

    machines: list[str]
    not_measured: list[str]


class Plan(Strict):
    """What an experiment takes from an empty folder.

    `ablation` is what the target `ablation` adds, None if nothing.  `rules` counts the jobs of each rule of
    the workflow.  `basis` is that of `hours`, None where there are none; `gpu_basis` that of `gpu_hours`,
    None where they rest on `tflops`, which are assumed: a GPU's achieved operations in 10^12 a second.
    `weights` are models whose weights are downloaded.  `unknown` says what the entries do not tell; what
    depends on it is missing from hours and disk.
    """

    config_digest: str
    stages: list[Stage]
    ablation: Stage | None
    rules: dict[str, int]
    basis: Basis | None
    gpu_basis: Basis | None
    tflops: float | None
    downloads: Downloads
    weights: list[str]
    unknown: list[str]

    @computed_field
    @property
    def total(self) -> Stage:
        """All stages together."""
        return Stage(
            name="all",
            jobs=sum(stage.jobs for stage in self.stages),
            disk_bytes=sum(stage.disk_bytes for stage in self.stages),
            **{key: self._sum(key) for key in ("flops", "hours", "gpu_hours")},
        )

    def _sum(self, key: str) -> float | None:
        """Of the stages of which it is known; None where there is nothing but what is not."""
        values = [value for stage in self.stages if (value := getattr(stage, key)) is not None]
        return sum(values) if values and (sum(values) or not self.unknown) else None


def plan(experiment: Experiment, measured: list[Measured], tflops: float) -> Plan:
    """Count what an experiment takes at the throughput of measured steps.

    `tflops`, a GPU's achieved operations in 10^12 a second, count where none was measured on a GPU.
    """
    made = everything(targets(experiment), experiment)
    there = set(made)
    more = [artifact for artifact in ablation_artifacts(experiment) if artifact not in there]
    count = _Count(experiment, *_throughputs(measured), tflops)
    stages = [count.stage(name, [artifact for artifact in made if artifact.stage == name]) for name in STAGES]
    ablation = count.stage(_ABLATION, more) if more else None
    datasets = sorted(artifact.dataset for artifact in made if isinstance(artifact, Receipt))
    return Plan(
        config_digest=digest(experiment.config),
        stages=stages,
        ablation=ablation,
        rules=jobs_by_rule(made, experiment),
        basis=count.basis(count.throughput),
        gpu_basis=count.basis(count.gpu_throughput),
        tflops=None if count.gpu_throughput else tflops,
        downloads=downloads(datasets, experiment.config_dir),
        weights=_weights(made, experiment),
        unknown=sorted(count.unknown),
    )


def ablation_artifacts(experiment: Experiment) -> list[Artifact]:
    """What the workflow's target `ablation` makes in an empty folder."""
    return everything([AblationTable(method) for method in experiment.ablations], experiment)


def jobs_by_rule(artifacts: list[Artifact], experiment: Experiment) -> dict[str, int]:
    """Rule -> number of jobs that make some artifacts.

    A job makes one artifact; but where rules are named after groups of runs, it makes those of a whole group.
    """
    jobs = set()
    for artifact in artifacts:
        rule = artifact.name_of_rule(experiment)
        shared = ("shots", "seed") if rule != artifact.rule else ()
        jobs.add((rule, *(value for name, value in artifact.wildcards.items() if name not in shared)))
    return dict(sorted(Counter(rule for rule, *_ in jobs).items()))


def _throughputs(measured: list[Measured]) -> tuple[Throughput | None, Throughput | None]:
    """That of what was measured elsewhere, and that on a GPU; None where nothing was."""
    parts = ([row for row in measured if row.on_gpu is on_gpu] for on_gpu in (False, True))
    return tuple(Throughput(rows) if rows else None for rows in parts)


@dataclass
class _Count:
    """Counts stages, and gathers what they compute and what could not be counted."""

    experiment: Experiment
    throughput: Throughput | None
    gpu_throughput: Throughput | None
    tflops: float
    computed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def stage(self, name: str, artifacts: list[Artifact]) -> Stage:
        """What making some artifacts takes."""
        works, known = self._works(artifacts)
        self.computed |= {work.what for work in works}
        computes = name in _COMPUTE and (known or bool(works))
        return Stage(
            name=name,
            jobs=sum(jobs_by_rule(artifacts, self.experiment).values()),
            flops=sum(work.flops * work.times for work in works) if computes else None,
            hours=self._hours(works, self.throughput) if computes and self.throughput else None,
            gpu_hours=self._hours(works, self.gpu_throughput) if computes else None,
            disk_bytes=self._bytes(artifacts),
        )

    def basis(self, throughput: Throughput | None) -> Basis | None:
        """What the hours of a throughput rest on."""
        if throughput is None:
            return None
        not_measured = self.computed - set(throughput.measured)
        return Basis(machines=throughput.machines, not_measured=sorted(not_measured))

    def _works(self, artifacts: list[Artifact]) -> tuple[list[Work], bool]:
        """What artifacts take to compute, as far as is known, and whether all of it is."""
        works, known = [], True
        for artifact in artifacts:
            try:
                works += list(work_of(artifact, self.experiment))
            except UnknownError as error:
                self.unknown.add(str(error))
                known = False
        return works, known

    def _bytes(self, artifacts: list[Artifact]) -> int:
        total = 0
        for artifact in artifacts:
            try:
                total += bytes_of(artifact, self.experiment)
            except UnknownError as error:
                self.unknown.add(str(error))
        return total

    def _hours(self, works: list[Work], throughput: Throughput | None) -> float:
        """At a measured throughput, or at the assumed rate of a GPU."""
        if throughput is None:
            return sum(work.flops * work.times for work in works) / (self.tflops * 1e12) / _HOUR
        return sum(throughput.seconds(work.what, work.flops) * work.times for work in works) / _HOUR


def _weights(artifacts: list[Artifact], experiment: Experiment) -> list[str]:
    """The models whose weights are neither here nor random."""
    backbones = experiment.config.backbones
    asks = any(isinstance(artifact, Lookup) for artifact in artifacts)
    return [
        f"{backbone.model} ({backbone.pretrained})"
        for backbone in (backbones.student, *([backbones.teacher] if asks else []))
        if backbone.pretrained != "random" and not weights_files(backbone)
    ]
