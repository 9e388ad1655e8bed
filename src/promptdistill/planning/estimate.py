"""A plan: jobs, hours and disk of every stage of an experiment, and its downloads."""

from collections import Counter
from dataclasses import dataclass, field

from pydantic import computed_field

from .. import layout
from ..config import digest
from ..validation import Strict
from .disk import bytes_of
from .downloads import Downloads, downloads
from .experiment import Experiment, UnknownError
from .jobs import STAGES, Data, Job, Lookup, ablation_jobs, all_jobs
from .throughput import Measured, Throughput
from .work import Work, work_of

_HOUR = 3600
_ABLATION = "ablation"
_COMPUTE = (
    "teacher tuning",
    "lookup",
    "boosting",
    "features",
    "adapting",
    "distilling",
    "evaluation",
    _ABLATION,
)


class Stage(Strict):
    """What one stage takes.

    `flops` are operations, `hours` those at a measured pace, `gpu_hours` those on a GPU.  All three are None
    where no model runs, or nothing is known of what it computes; `hours` also where all steps were measured
    on a GPU.
    """

    name: str
    jobs: int
    flops: float | None
    hours: float | None
    gpu_hours: float | None
    disk_bytes: int


class Pacing(Strict):
    """What hours rest on: the `machines` that steps were measured on, and what was `not_measured` there.

    The latter are methods, and `encode`, whose pace is that of the others.
    """

    machines: list[str]
    not_measured: list[str]


class Plan(Strict):
    """What an experiment takes from an empty folder.

    `ablation` is what the target `ablation` adds, None if nothing.  `rules` counts the jobs of each rule of
    the workflow.  `pacing` is that of `hours`, None where there are none; `gpu_pacing` that of `gpu_hours`,
    None where they rest on `tflops`, which are assumed: a GPU's achieved operations in 10^12 a second.
    `weights` are models whose weights are downloaded.  `unknown` says what the entries do not tell; what
    depends on it is missing from hours and disk.
    """

    config_digest: str
    stages: list[Stage]
    ablation: Stage | None
    rules: dict[str, int]
    pacing: Pacing | None
    gpu_pacing: Pacing | None
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
    """Count what an experiment takes at the pace of measured steps.

    `tflops`, a GPU's achieved operations in 10^12 a second, count where none was measured on a GPU.
    """
    jobs = all_jobs(experiment)
    there = set(jobs)
    more = [job for job in ablation_jobs(experiment) if job not in there]
    count = _Count(experiment, *_paces(measured), tflops)
    stages = [count.stage(name, [job for job in jobs if job.stage == name]) for name in STAGES]
    ablation = count.stage(_ABLATION, more) if more else None
    return Plan(
        config_digest=digest(experiment.config),
        stages=stages,
        ablation=ablation,
        rules=dict(sorted(Counter(job.name for job in jobs).items())),
        pacing=count.pacing(count.pace),
        gpu_pacing=count.pacing(count.gpu),
        tflops=None if count.gpu else tflops,
        downloads=downloads(
            sorted(job.dataset for job in jobs if isinstance(job, Data)), experiment.config_dir
        ),
        weights=_weights(jobs, experiment),
        unknown=sorted(count.unknown),
    )


def _paces(measured: list[Measured]) -> tuple[Throughput | None, Throughput | None]:
    """The pace of what was measured elsewhere, and that on a GPU; None where nothing was."""
    parts = ([row for row in measured if row.on_gpu is on_gpu] for on_gpu in (False, True))
    return tuple(Throughput(rows) if rows else None for rows in parts)


@dataclass
class _Count:
    """Counts stages, and gathers what they compute and what could not be counted."""

    experiment: Experiment
    pace: Throughput | None
    gpu: Throughput | None
    tflops: float
    computed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def stage(self, name: str, jobs: list[Job]) -> Stage:
        """What some jobs take."""
        works, known = self._works(jobs)
        self.computed |= {work.what for work in works}
        computes = name in _COMPUTE and (known or bool(works))
        return Stage(
            name=name,
            jobs=len(jobs),
            flops=sum(work.flops * work.times for work in works) if computes else None,
            hours=self._hours(works, self.pace) if computes and self.pace else None,
            gpu_hours=self._hours(works, self.gpu) if computes else None,
            disk_bytes=self._bytes(jobs),
        )

    def pacing(self, pace: Throughput | None) -> Pacing | None:
        """What a pace rests on."""
        if pace is None:
            return None
        return Pacing(machines=pace.machines, not_measured=sorted(self.computed - set(pace.measured)))

    def _works(self, jobs: list[Job]) -> tuple[list[Work], bool]:
        """What jobs compute, as far as is known, and whether all of it is."""
        works, known = [], True
        for job in jobs:
            try:
                works += list(work_of(job, self.experiment))
            except UnknownError as error:
                self.unknown.add(str(error))
                known = False
        return works, known

    def _bytes(self, jobs: list[Job]) -> int:
        total = 0
        for job in jobs:
            try:
                total += bytes_of(job, self.experiment)
            except UnknownError as error:
                self.unknown.add(str(error))
        return total

    def _hours(self, works: list[Work], pace: Throughput | None) -> float:
        """At a measured pace, or at the assumed rate of a GPU."""
        if pace is None:
            return sum(work.flops * work.times for work in works) / (self.tflops * 1e12) / _HOUR
        return sum(pace.seconds(work.what, work.flops) * work.times for work in works) / _HOUR


def _weights(jobs: list[Job], experiment: Experiment) -> list[str]:
    """The models whose weights are neither here nor random."""
    backbones = experiment.config.backbones
    asks = any(isinstance(job, Lookup) for job in jobs)
    return [
        f"{backbone.model} ({backbone.pretrained})"
        for backbone in (backbones.student, *([backbones.teacher] if asks else []))
        if backbone.pretrained != "random" and not layout.weights(backbone)
    ]
