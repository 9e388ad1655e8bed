"""A plan: jobs, hours and disk of every stage of an experiment, and its downloads."""

from collections import Counter

from pydantic import computed_field

from ..config import Strict, digest
from .disk import bytes_of
from .downloads import Downloads, downloads
from .experiment import Experiment, UnknownError
from .jobs import STAGES, Data, Job, all_jobs
from .pace import Pace
from .work import Work, work_of

_HOUR = 3600
_COMPUTE = ("teacher tuning", "lookup", "boosting", "features", "adapting", "distilling", "evaluation")


class Stage(Strict):
    """What one stage takes.

    `flops` are operations, `hours` those at the measured pace, `gpu_hours` at an assumed one; all three are
    None where no model runs.
    """

    name: str
    jobs: int
    flops: float | None
    hours: float | None
    gpu_hours: float | None
    disk_bytes: int


class Plan(Strict):
    """What an experiment takes from an empty folder.

    `rules` counts the jobs of each rule of the workflow.  `unknown` says what the entries do not tell; what
    depends on it is missing from hours and disk.  `not_measured` are methods whose pace is that of others.
    """

    config_digest: str
    stages: list[Stage]
    rules: dict[str, int]
    tflops: float
    machines: list[str]
    not_measured: list[str]
    downloads: Downloads
    unknown: list[str]

    @computed_field
    @property
    def total(self) -> Stage:
        """All stages together."""
        return Stage(
            name="all",
            jobs=sum(stage.jobs for stage in self.stages),
            disk_bytes=sum(stage.disk_bytes for stage in self.stages),
            **{
                key: sum(getattr(stage, key) or 0 for stage in self.stages)
                for key in ("flops", "hours", "gpu_hours")
            },
        )


def plan(experiment: Experiment, pace: Pace, tflops: float) -> Plan:
    """Count what an experiment takes; `tflops` are a GPU's achieved operations in 10^12 a second."""
    jobs = all_jobs(experiment)
    count = _Count(experiment)
    for job in jobs:
        count.add(job)
    works = [work for stage in STAGES for work in count.works[stage]]
    datasets = sorted(job.dataset for job in jobs if isinstance(job, Data))
    return Plan(
        config_digest=digest(experiment.config),
        stages=[_stage(name, jobs, count, pace, tflops) for name in STAGES],
        rules=dict(sorted(Counter(job.name for job in jobs).items())),
        tflops=tflops,
        machines=pace.machines,
        not_measured=sorted({work.what for work in works} - set(pace.measured)),
        downloads=downloads(datasets, experiment.config_dir),
        unknown=sorted(count.unknown),
    )


class _Count:
    """Work and bytes of every stage, and what could not be counted."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.works: dict[str, list[Work]] = {stage: [] for stage in STAGES}
        self.disk: Counter[str] = Counter()
        self.unknown: set[str] = set()

    def add(self, job: Job) -> None:
        try:
            self.works[job.stage] += list(work_of(job, self.experiment))
        except UnknownError as error:
            self.unknown.add(str(error))
        try:
            self.disk[job.stage] += bytes_of(job, self.experiment)
        except UnknownError as error:
            self.unknown.add(str(error))


def _stage(name: str, jobs: list[Job], count: _Count, pace: Pace, tflops: float) -> Stage:
    works, computes = count.works[name], name in _COMPUTE
    flops = sum(work.flops * work.times for work in works)
    seconds = sum(pace.seconds(work.what, work.flops) * work.times for work in works)
    return Stage(
        name=name,
        jobs=sum(job.stage == name for job in jobs),
        flops=flops if computes else None,
        hours=seconds / _HOUR if computes else None,
        gpu_hours=flops / (tflops * 1e12) / _HOUR if computes else None,
        disk_bytes=count.disk[name],
    )
