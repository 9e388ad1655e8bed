"""A plan: jobs, hours and disk of every stage of an experiment, and its downloads."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import computed_field

from ..config.entries import load_dataset
from ..config.schema import digest
from ..experiment import Experiment, weights_files
from ..graph import AblationTable, Artifact, DrawAnswers, Lookup, Receipt, everything, targets
from ..validation import Strict
from .throughput import Measured, Throughput
from .work import UnknownError, bytes_of, work_of

# Those that compute with models, among all, in order.
_COMPUTE = ("teacher tuning", "lookup", "boosting", "features", "adapting", "evaluation")
STAGES = ("data", "splits", "regions", *_COMPUTE, "metrics", "tables", "tracking")
_ABLATION = "ablation"


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


class Downloads(Strict):
    """Bytes whose number is known, and what is beside them.

    `unknown` names files without a known size, `by_hand` data sets without an address, `drawn` those that the
    miniature generator draws.
    """

    bytes: int
    unknown: list[str]
    by_hand: list[str]
    drawn: list[str]


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
    count = _Count(experiment, *(Throughput.of(measured, on_gpu) for on_gpu in (False, True)), tflops)
    stages = [count.stage(name, [artifact for artifact in made if artifact.stage == name]) for name in STAGES]
    ablation = count.stage(_ABLATION, more) if more else None
    datasets = sorted(artifact.dataset for artifact in made if isinstance(artifact, Receipt))
    return Plan(
        config_digest=digest(experiment.config),
        stages=stages,
        ablation=ablation,
        rules=jobs_by_rule(made, experiment),
        basis=count.basis(count.cpu),
        gpu_basis=count.basis(count.gpu),
        tflops=None if count.gpu else tflops,
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


@dataclass
class _Count:
    """Counts stages, and gathers what they compute and what could not be counted."""

    experiment: Experiment
    cpu: Throughput | None
    gpu: Throughput | None
    tflops: float
    computed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def stage(self, name: str, artifacts: list[Artifact]) -> Stage:
        """What making some artifacts takes."""
        counted = [self._known(work_of, artifact) for artifact in artifacts]
        works = [work for own in counted for work in own or []]
        self.computed |= {work.what for work in works}
        flops = hours = gpu_hours = None
        if name in (*_COMPUTE, _ABLATION) and (works or None not in counted):
            flops = sum(work.flops * work.times for work in works)
            hours = self.cpu and self.cpu.hours(works)
            gpu_hours = self.gpu.hours(works) if self.gpu else flops / (self.tflops * 1e12) / 3600
        return Stage(
            name=name,
            jobs=sum(jobs_by_rule(artifacts, self.experiment).values()),
            flops=flops,
            hours=hours,
            gpu_hours=gpu_hours,
            disk_bytes=sum(self._known(bytes_of, artifact) or 0 for artifact in artifacts),
        )

    def basis(self, throughput: Throughput | None) -> Basis | None:
        """What the hours of a throughput rest on."""
        return throughput and Basis(
            machines=throughput.machines, not_measured=sorted(self.computed - set(throughput.measured))
        )

    def _known(self, count: Callable[[Artifact, Experiment], Any], artifact: Artifact) -> Any:
        """A count of an artifact; None where it is not known."""
        try:
            return count(artifact, self.experiment)
        except UnknownError as error:
            self.unknown.add(str(error))
            return None


def downloads(datasets: Iterable[str], config_dir: Path) -> Downloads:
    """The files of the originals, or of the mirror where there is no original, as if none were here yet."""
    entries = {name: load_dataset(name, config_dir) for name in datasets}
    sources = {name: entry.sources or entry.fallback for name, entry in entries.items()}
    files = [(name, source) for name, own in sources.items() for source in own]
    drawn = [name for name, entry in entries.items() if entry.miniature]
    return Downloads(
        bytes=sum(source.size or 0 for _, source in files),
        unknown=[f"{name}/{source.name}" for name, source in files if source.size is None],
        by_hand=[name for name, own in sources.items() if not own and name not in drawn],
        drawn=drawn,
    )


def _weights(artifacts: list[Artifact], experiment: Experiment) -> list[str]:
    """The models whose weights are neither here nor random."""
    backbones = experiment.config.backbones
    asks = any(isinstance(artifact, Lookup | DrawAnswers) for artifact in artifacts)
    return [
        f"{backbone.model} ({backbone.pretrained})"
        for backbone in (backbones.student, *([backbones.teacher] if asks else []))
        if backbone.pretrained != "random" and not weights_files(backbone)
    ]
