"""What every artifact of an experiment is made from: one description for rules, commands and the plan.

A class here is one kind of file.  Its fields are the wildcards of its rule and, joined by slashes, the key
that its command takes; `inputs` names what is read to make it, `depends` what of the configuration matters.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

from .artifacts import Made
from .code import hashes
from .config.entries import MethodEntry, PluginEntry
from .errors import UserError
from .experiment import PLAIN, TEACHER, Experiment, boosting_kind, boosting_protocol, weights_files
from .files import sha256, sha256_of_json
from .protocols import protocol_named, protocol_of
from .run import NO_SEED, MethodParts, RunKey, family, is_cascaded, modules_of
from .validation import did_you_mean

USED_FILES = "tables/files.json"
ZERO_SHOT = "zero_shot"  # a teacher as it is
_NUMBERS = ("shots", "seed", "part", "parts")
_SHORT = 16  # characters of a setting's hash

Inputs = dict[str, list["Artifact"]]


@dataclass(frozen=True)
class Artifact:
    """One file below the folder of results; two that are equal are the same one.

    `stage` is its stage in the plan, `pattern` its path.  `code` lists the modules that make it, beside that
    of its protocol; what they import follows.  `depends` names settings: a change of one makes it again.
    """

    stage: ClassVar[str]
    rule: ClassVar[str]
    pattern: ClassVar[str]
    code: ClassVar[tuple[str, ...]]
    grouped: ClassVar[bool] = False  # whether its runs share jobs
    depends: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, wildcards: Mapping[str, str], **others: Any) -> Self:
        """The one that a rule's wildcards, and `others` beside them, name."""
        values = {**wildcards, **others}
        return cls(**{field.name: _value(field.name, values[field.name]) for field in fields(cls)})

    @classmethod
    def parse(cls, key: str) -> Self:
        """The one that a command's key names; UserError if the key is of another form."""
        names, parts = [field.name for field in fields(cls)], key.split("/")
        values = dict(zip(names, parts, strict=False))
        if len(parts) == len(names) and all(_fits(*value) for value in values.items()):
            return cls.of(values)
        form = "/".join(name.upper() for name in names)
        least = ", with 1 shot or more" if "shots" in names else ""
        raise UserError(f"{key!r} does not say what to make: give {form}{least}.")

    @property
    def wildcards(self) -> dict[str, str]:
        """Its fields, as in paths and keys."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: NO_SEED if value is None else str(value) for name, value in values.items()}

    @property
    def key(self) -> str:
        """What its command takes."""
        return "/".join(self.wildcards.values())

    @property
    def path(self) -> str:
        """Its path below the folder of results."""
        return self.pattern.format(**self.wildcards)

    def inputs(self, experiment: Experiment) -> Inputs:
        """The artifacts that it is made from, by name."""
        return {}

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """Files of the user's that it is made from, and that may change, by name."""
        backbones = experiment.config.backbones
        names = {"student": experiment.backbone(getattr(self, "method", None)), "teacher": backbones.teacher}
        return {
            "weights": [file for name in self.depends if name in names for file in weights_files(names[name])]
        }

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """What of the configuration it depends on, by name."""
        return {name: _SETTINGS[name](self, experiment) for name in self.depends}

    @property
    def header_path(self) -> str | None:
        """Where its header lies, below the folder of results; None if it has none."""
        return self.path

    def made(self, experiment: Experiment) -> Made:
        """What its header says of it, when it is made with this configuration."""
        settings = self.parameters(experiment)
        settings.pop("data_root", None)  # the same bytes wherever data lie
        hashes = {name: sha256_of_json(value)[:_SHORT] for name, value in settings.items()}
        return Made(rule=self.rule, key=self.key, settings=hashes)

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        """The modules that make it."""
        protocol = self.wildcards.get("protocol")
        return (*self.code, f"protocols.{protocol}") if protocol else self.code

    def name_of_rule(self, experiment: Experiment) -> str:
        """The name of its rule in the workflow: one for each group of runs that share a job."""
        if not self.grouped:
            return self.rule
        run = (self.shots, self.seed)
        for group in experiment.job_groups:
            if group.protocol == self.protocol and run in group.runs:
                return f"{self.rule}_{group.protocol}_{group.index}"
        raise UserError(
            f"The configuration has no run of {self.protocol} with {run[0]} shots, seed {run[1]}."
        )


def _fits(name: str, text: str) -> bool:
    return (
        text.isascii() and text.isdecimal() and int(text) >= (name in ("shots", "parts"))
        if name in _NUMBERS
        else bool(text)
    )


def _value(name: str, text: Any) -> Any:
    if name == "protocol":
        return protocol_named(text).name
    if name not in _NUMBERS or isinstance(text, int):
        return text
    return None if text in (None, NO_SEED) else int(text)


# Data


@dataclass(frozen=True)
class Receipt(Artifact):
    """A data set was fetched, drawn or recognised."""

    stage, rule, pattern = "data", "data", "data/{dataset}.json"
    code = ("cli.data", "data.download", "data.receipt")
    depends = ("entry", "data_root", "strict")
    dataset: str

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        drawn = experiment.dataset(self.dataset).miniature
        return (*self.code, "miniature.datasets") if drawn else self.code


@dataclass(frozen=True)
class Split(Artifact):
    """A data set's split, checked against its files."""

    stage, rule, pattern = "splits", "split", "splits/{dataset}/split.json"
    code, depends = ("cli.data", "data.published"), ("entry", "data_root")
    dataset: str

    def inputs(self, experiment: Experiment) -> Inputs:
        return {"receipt": [Receipt(self.dataset)]}


@dataclass(frozen=True)
class Draw(Artifact):
    """Few shots of every class."""

    stage, rule, pattern = "splits", "draw", "splits/{dataset}/{shots}/{seed}.json"
    code = ("cli.data", "data.splits")
    dataset: str
    shots: int
    seed: int

    def inputs(self, experiment: Experiment) -> Inputs:
        return {"split": [Split(self.dataset)]}


# Features


@dataclass(frozen=True)
class StoredRegions(Artifact):
    """Random regions of every training image, cut once.

    A longer training sees more regions, so its store is its own: then no method reruns because of another.
    """

    stage, rule, pattern = "regions", "regions", "regions/{dataset}/{region_set}/manifest.json"
    code, depends = ("cli.features", "features.region_build"), ("region_set", "student", "max_gb")
    dataset: str
    region_set: str

    def inputs(self, experiment: Experiment) -> Inputs:
        return {"split": [Split(self.dataset)]}

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """None: of the student, the input size alone matters."""
        return {}


@dataclass(frozen=True)
class Lookup(Artifact):
    """A teacher's answers for random regions of every training image."""

    stage, rule, pattern = "lookup", "lookup", "lookup/{dataset}/{teacher}/{region_set}/manifest.json"
    code = ("cli.features", "features.lookup_build")
    depends = ("machine", "teacher", "template", "region_set", "shards", "dtype")
    dataset: str
    teacher: str
    region_set: str

    @property
    def tuned(self) -> re.Match | None:
        """Protocol, shots and seed that the teacher was tuned on, None for a teacher as it is."""
        return re.fullmatch(r"(?P<protocol>\w+)-(?P<shots>\d+)-(?P<seed>\d+)", self.teacher)

    def inputs(self, experiment: Experiment) -> Inputs:
        lookup, own = experiment.config.lookup, (self.dataset, self.teacher, self.region_set)
        parts = lookup.parts_of.get(self.dataset, lookup.parts)
        return {
            **self.answers(experiment),
            "parts": [LookupPart(*own, part, parts) for part in range(parts) if parts > 1],
        }

    def answers(self, experiment: Experiment) -> Inputs:
        """What the answers depend on; UserError for a teacher of another name."""
        prompt = []
        if tuned := self.tuned:
            source = experiment.trained_on(tuned["protocol"], self.dataset)
            prompt = [TeacherPrompt.of(tuned.groupdict(), dataset=source, method=TEACHER)]
        elif self.teacher != ZERO_SHOT:
            raise UserError(f"There is no teacher {self.teacher!r}: give {ZERO_SHOT} or PROTOCOL-SHOTS-SEED.")
        return {
            "split": [Split(self.dataset)],
            "prompt": prompt,
            "regions": _stored(experiment, self.dataset, self.region_set),
        }


@dataclass(frozen=True)
class LookupPart(Lookup):
    """One part of a lookup that several jobs share."""

    rule = "lookup_part"
    pattern = "lookup/{dataset}/{teacher}/{region_set}/parts/{part}-of-{parts}"
    header_path = None
    part: int
    parts: int

    def inputs(self, experiment: Experiment) -> Inputs:
        return self.answers(experiment)


@dataclass(frozen=True)
class StudentFeatures(Artifact):
    """The student's image features that no training changes."""

    stage, code = "features", ("cli.features", "features.lookup_build")
    depends = ("machine", "student", "shards")
    dataset: str
    feature_kind: str

    def inputs(self, experiment: Experiment) -> Inputs:
        """Images may be seen through a boosting prompt: for transfer, the source's."""
        seen = []
        if self.feature_kind != PLAIN:
            seen = [boosting_prompt(experiment, boosting_protocol(self.feature_kind), self.dataset)]
        return {"split": [Split(self.dataset)], "boosting": seen}


@dataclass(frozen=True)
class DrawFeatures(StudentFeatures):
    """Features of random regions of a draw's images; the protocol says of which classes."""

    rule = "features"
    pattern = "features/{dataset}/{feature_kind}/{region_set}/{protocol}/{shots}/{seed}/manifest.json"
    depends, grouped = (*StudentFeatures.depends, "region_set", "protocol"), True
    region_set: str
    protocol: str
    shots: int
    seed: int

    def inputs(self, experiment: Experiment) -> Inputs:
        return {**super().inputs(experiment), "draw": [Draw(self.dataset, self.shots, self.seed)]}


@dataclass(frozen=True)
class DrawAnswers(Artifact):
    """The zero-shot teacher's answers for random regions of a draw's images, of the protocol's classes."""

    stage, rule, grouped = "features", "answers", True
    pattern = "features/{dataset}/answers/{region_set}/{protocol}/{shots}/{seed}/manifest.json"
    code = Lookup.code
    depends = (*Lookup.depends, "protocol")
    dataset: str
    region_set: str
    protocol: str
    shots: int
    seed: int

    def inputs(self, experiment: Experiment) -> Inputs:
        return {"split": [Split(self.dataset)], "draw": [Draw(self.dataset, self.shots, self.seed)]}


@dataclass(frozen=True)
class VocabularyText(Artifact):
    """The zero-shot teacher's text features of a vocabulary, for class-agnostic training."""

    stage, rule, pattern = "features", "vocabulary", "features/vocabulary/{vocabulary}/manifest.json"
    code, depends = ("cli.features", "features.vocabulary"), ("machine", "teacher")
    vocabulary: str

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """The teacher's weights, and the names."""
        return {**super().files(experiment), "names": [experiment.vocabulary_file(self.vocabulary)]}


@dataclass(frozen=True)
class TestFeatures(StudentFeatures):
    """Features of the test images."""

    rule, pattern = "test_features", "features/{dataset}/{feature_kind}/test/manifest.json"


# Training


_TRAINING = ("machine", "student", "template", "hyperparameters", "regions")


@dataclass(frozen=True)
class BoostingPrompt(Artifact):
    """A boosting prompt, once a data set: it serves every method, every seed, and several protocols."""

    stage, rule, pattern = "boosting", "boost", "boosting/{dataset}/{boosting}.safetensors"
    code, depends = ("cli.runs", "training.stages", "methods.boosting"), _TRAINING
    dataset: str
    boosting: str

    @property
    def protocol(self) -> str:
        """The protocol whose settings it is learned with."""
        return boosting_protocol(self.boosting)

    def inputs(self, experiment: Experiment) -> Inputs:
        regions = experiment.regions("boosting", self.dataset, self.protocol)
        region_set = experiment.region_set(regions)
        return {
            "split": [Split(self.dataset)],
            "answers": [Lookup(self.dataset, ZERO_SHOT, region_set)],
            "regions": _stored(experiment, self.dataset, region_set),
        }


@dataclass(frozen=True)
class OfRun(Artifact):
    """What one run leaves."""

    grouped = True
    protocol: str
    dataset: str
    method: str
    shots: int
    seed: int | None

    @property
    def run(self) -> RunKey:
        """The run's key."""
        return RunKey(self.protocol, self.dataset, self.method, self.shots, self.seed)

    @classmethod
    def parse(cls, key: str) -> Self:
        """The one that a run's key names; UserError if it is not a run's key, or of no protocol."""
        return cls.of(RunKey.parse(key)._asdict())

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        return (*super().modules(experiment), *modules_of(self.method))

    def boosting(self, experiment: Experiment) -> list[Artifact]:
        """The boosting prompt that a method with +caspl is cascaded on."""
        cascaded = is_cascaded(self.method)
        return [boosting_prompt(experiment, self.protocol, self.dataset)] if cascaded else []

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """The weights, and what the method reads of its own."""
        own = experiment.method_files(self.method, self.dataset)
        return {**super().files(experiment), **{name: [path] for name, path in own.items()}}


@dataclass(frozen=True)
class Prompt(OfRun):
    """A method's prompt, learned from few shots or from a tuned teacher."""

    stage, rule = "adapting", "adapt"
    pattern = "adapting/{protocol}/{dataset}/{method}/{shots}/{seed}.safetensors"
    code, depends = ("cli.runs", "training.stages"), (*_TRAINING, "protocol")

    def inputs(self, experiment: Experiment) -> Inputs:
        """Stored regions count where every step sees images; all else is what the method has use for."""
        entry, split = experiment.method(self.method), [Split(self.dataset)]
        own = {"split": split, "boosting": self.boosting(experiment)}
        draw = [Draw(self.dataset, self.shots, self.seed)]
        if entry.learns_from == "images":
            return {**own, "draw": draw}
        region_set = experiment.region_set(experiment.regions(self.method, self.dataset, self.protocol))
        sees_pixels = experiment.sees_pixels(self.method)
        own["regions"] = _stored(experiment, self.dataset, region_set) if sees_pixels else []
        if entry.learns_from == "teacher":
            seed = experiment.settings(self.protocol).seeds[0]
            tuned = f"{self.protocol}-{self.shots}-{seed}"
            return {**own, "answers": [Lookup(self.dataset, tuned, region_set)]}
        vocabulary = experiment.vocabulary(*training_of(self))
        kind = experiment.feature_kind(self.method, self.protocol)
        features = DrawFeatures.of(self.wildcards, feature_kind=kind, region_set=region_set)
        return {
            **own,
            "draw": draw,
            "answers": [DrawAnswers.of(self.wildcards, region_set=region_set)]
            if experiment.asks_teacher(self.method)
            else [],
            "features": [features] if kind else [],
            "vocabulary": [VocabularyText(vocabulary)] if vocabulary else [],
        }


@dataclass(frozen=True)
class TeacherPrompt(Prompt):
    """The prompt that a teacher was tuned by, on the few shots of a protocol's first seed."""

    stage, rule, grouped = "teacher tuning", "tune_teacher", False
    pattern = "teachers/{protocol}/{dataset}/{method}/{shots}/{seed}.safetensors"

    def inputs(self, experiment: Experiment) -> Inputs:
        """The teacher's own features are not looked up."""
        inputs = super().inputs(experiment)
        return {name: inputs[name] for name in ("split", "draw", "regions")}


# Results


@dataclass(frozen=True)
class Predictions(OfRun):
    """Predictions of a run's test images."""

    stage, rule = "evaluation", "evaluate"
    pattern = "predictions/{protocol}/{dataset}/{method}/{shots}/{seed}.parquet"
    code, depends = (
        ("cli.runs", "evaluation.predict"),
        ("machine", "student", "template", "protocol", "untrained", "batch_size"),
    )

    def inputs(self, experiment: Experiment) -> Inputs:
        """The prompt was learned here, or on the source."""
        entry = experiment.method(self.method)
        source = experiment.trained_on(self.protocol, self.dataset, self.method)
        kind = experiment.feature_kind(self.method, self.protocol)
        learned, looked_up = entry.learns_from != "nothing", entry.looks_up == "cascade"
        return {
            "split": [Split(self.dataset)],
            "prompt": [Prompt.of(self.wildcards, dataset=source)] if learned else [],
            "boosting": self.boosting(experiment),
            "features": [TestFeatures(self.dataset, kind)] if looked_up else [],
        }

    def name_of_rule(self, experiment: Experiment) -> str:
        return super().name_of_rule(experiment) if self.shots else "evaluate_zero_shot"


@dataclass(frozen=True)
class Metrics(Artifact):
    """The accuracies of all runs of a method in a protocol: of one, if nothing is learned."""

    stage, rule, pattern = "metrics", "metrics", "metrics/{protocol}/{method}.json"
    code = ("cli.runs", "evaluation.metrics")
    protocol: str
    method: str

    def inputs(self, experiment: Experiment) -> Inputs:
        learns = experiment.method(self.method).learns_from != "nothing"
        return {
            "predictions": [
                Predictions(self.protocol, dataset, self.method, *run)
                for dataset in experiment.evaluated(self.protocol, self.method)
                for run in (experiment.runs(self.protocol) if learns else [(0, None)])
            ]
        }


class _WithRecord(Artifact):
    """A table in all its forms; the record beside it lists what it was made from."""

    @property
    def header_path(self) -> str:
        return self.path.replace(".html", "_record.json")


@dataclass(frozen=True)
class Table(_WithRecord):
    """A protocol's table."""

    stage, rule, pattern = "tables", "table", "tables/{table}.html"
    code, depends = ("report.render", "report.record"), ("configuration", "titles")
    table: str

    def inputs(self, experiment: Experiment) -> Inputs:
        protocol = protocol_of(self.table).name
        return {"metrics": [Metrics(protocol, method) for method in experiment.methods_of(self.table)]}

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """Published numbers, if there are any."""
        path = Path(experiment.config.published or "", f"{self.table}.csv")
        return {"published": [path] if experiment.config.published and path.is_file() else []}

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        return (*self.code, f"protocols.{protocol_of(self.table).name}")


@dataclass(frozen=True)
class AblationTable(_WithRecord):
    """A method beside its variants."""

    stage, rule, pattern = "tables", "ablation_table", "tables/ablation_{method}.html"
    code = ("report.render", "report.record", "protocols.base_to_novel")
    depends = ("configuration", "method_entry")
    method: str

    def inputs(self, experiment: Experiment) -> Inputs:
        methods = [self.method, *experiment.ablations.get(self.method, [])]
        return {"metrics": [Metrics("base_to_novel", method) for method in methods]}


@dataclass(frozen=True)
class Overview(Artifact):
    """The averages of all tables, and the files of the user's that all results come from, for DVC."""

    stage, rule, pattern = "tables", "overview", "overview/metrics.json"
    header_path = None
    code, depends = ("report.overview",), ("used",)

    def inputs(self, experiment: Experiment) -> Inputs:
        return {"tables": [Table(name) for name in experiment.tables]}


@dataclass(frozen=True)
class Tracking(Artifact):
    """The receipt of an import into MLflow: of tables, and of what every run behind them left."""

    stage, rule, pattern = "tracking", "track", "tracking.json"
    header_path = None
    code = ("tracking.content", "tracking.importing")

    def inputs(self, experiment: Experiment) -> Inputs:
        tables = [Table(name) for name in experiment.tables]
        metrics = [one for table in tables for one in table.inputs(experiment)["metrics"]]
        predictions = [one for own in dict.fromkeys(metrics) for one in own.inputs(experiment)["predictions"]]
        found: Inputs = {"tables": tables, "metrics": metrics, "predictions": predictions}
        for one in predictions:
            for name, used in one.inputs(experiment).items():
                found.setdefault(name, []).extend(used)
        return {name: list(dict.fromkeys(made)) for name, made in found.items() if name != "features"}


def training_of(own: BoostingPrompt | Prompt) -> tuple[str, str, str]:
    """Method, data set and protocol of a training."""
    return getattr(own, "method", "boosting"), own.dataset, own.protocol


def _regions(own: BoostingPrompt | Prompt, experiment: Experiment) -> dict[str, Any] | None:
    """The regions that a training sees; None for whole images."""
    whole = experiment.method(training_of(own)[0]).learns_from == "images"
    return None if whole else experiment.regions(*training_of(own)).model_dump()


def untrained_values(own: OfRun, experiment: Experiment) -> dict[str, Any]:
    """The hyper-parameters of a method that learns nothing; those of others stand in their prompts."""
    learns = experiment.method(own.method).learns_from != "nothing"
    return {} if learns else experiment.hyperparameters(own.method, own.dataset, own.protocol)


# What artifacts depend on, by the names in `depends`.
_SETTINGS: dict[str, Callable[[Any, Experiment], Any]] = {
    # Results depend on the first two in their last bits.
    "machine": lambda _, experiment: {
        "device": experiment.config.device,
        "threads": experiment.config.jobs.threads,
        "precision": experiment.config.precision,
    },
    "entry": lambda own, experiment: experiment.dataset(own.dataset).model_dump(),
    "data_root": lambda _, experiment: experiment.config.data_root,
    "strict": lambda _, experiment: experiment.config.strict,
    "template": lambda own, experiment: experiment.dataset(own.dataset).template,
    "student": lambda own, experiment: experiment.backbone(getattr(own, "method", None)).model_dump(),
    "teacher": lambda _, experiment: experiment.config.backbones.teacher.model_dump(),
    "region_set": lambda own, experiment: experiment.regions_named(own.region_set).model_dump(),
    "max_gb": lambda _, experiment: experiment.config.regions.max_gb,
    "shards": lambda _, experiment: experiment.config.lookup.model_dump(
        include={"batch_size", "shard_images"}
    ),
    "dtype": lambda _, experiment: experiment.config.lookup.dtype,
    "hyperparameters": lambda own, experiment: experiment.hyperparameters(*training_of(own)),
    "regions": _regions,
    "protocol": lambda own, experiment: experiment.protocol_parameters(own.protocol),
    "untrained": untrained_values,
    "batch_size": lambda _, experiment: experiment.config.jobs.eval_batch_size,
    # Folders may be renamed.
    "configuration": lambda _, experiment: experiment.config.model_dump(
        exclude_none=True, exclude={"results", "data_root"}
    ),
    "titles": lambda own, experiment: [experiment.title(one) for one in experiment.methods_of(own.table)],
    "used": lambda _, experiment: sha256_of_json(used_files(experiment)),
    "method_entry": lambda own, experiment: [
        entry and entry.model_dump() for entry in _entries(own.method, experiment)
    ],
}


def _entries(method: str, experiment: Experiment) -> tuple[MethodEntry, PluginEntry | None]:
    return experiment.method(method), experiment.plugin(method)


def named(made: Made) -> Artifact:
    """The artifact that a header says it is; UserError if there is no such artifact."""
    kinds = _by_rule(Artifact)
    if made.rule not in kinds:
        raise UserError(f"There is no rule {made.rule!r}{did_you_mean(made.rule, list(kinds))}.")
    return kinds[made.rule].parse(made.key)


@cache
def _by_rule(kind: type[Artifact]) -> dict[str, type[Artifact]]:
    found = {kind.rule: kind} if hasattr(kind, "rule") else {}
    for below in kind.__subclasses__():
        found |= _by_rule(below)
    return found


def boosting_prompt(experiment: Experiment, protocol: str, dataset: str) -> BoostingPrompt:
    """The boosting prompt of a protocol for a data set: the source's, where others are tested."""
    # Another protocol may share the prompts of one that is not run, and that has no source then.
    source = experiment.trained_on(protocol, dataset) if protocol in experiment.protocols else dataset
    return BoostingPrompt(source, boosting_kind(protocol))


def everything(wanted: list[Artifact], experiment: Experiment) -> list[Artifact]:
    """Some artifacts, and all that they are made from, each once."""
    found: dict[Artifact, None] = {}
    waiting = [*wanted]
    while waiting:
        artifact = waiting.pop()
        if artifact not in found:
            found[artifact] = None
            waiting.extend(one for own in artifact.inputs(experiment).values() for one in own)
    return list(found)


def used_files(experiment: Experiment) -> dict[str, str]:
    """Path -> hash of the entries, data and modules that the tables come from, as in the pipeline's folder.

    What changes no result, such as a comment, changes no hash.
    """
    entries: dict[str, Any] = {}
    modules: set[str] = set()
    for one in everything([Table(name) for name in experiment.tables], experiment):
        modules.update(one.modules(experiment))
        if dataset := getattr(one, "dataset", None):
            entries[f"datasets/{dataset}.yaml"] = experiment.dataset(dataset).model_dump()
        if method := "boosting" if isinstance(one, BoostingPrompt) else getattr(one, "method", None):
            entries[f"methods/{family(method)}.yaml"] = experiment.method(method).model_dump()
            if plugin := experiment.plugin(method):
                entries[f"plugins/{MethodParts.of(method).plugin}.yaml"] = plugin.model_dump()
        data = [path for own in one.files(experiment).values() for path in own]
        here = [path for path in data if path.is_relative_to(experiment.config_dir)]
        entries |= {path.relative_to(experiment.config_dir).as_posix(): sha256(path) for path in here}
    return {
        **{f"config/{path}": sha256_of_json(entries[path]) for path in sorted(entries)},
        **{f"src/promptdistill/{path}": sha for path, sha in hashes(*sorted(modules)).items()},
    }


def targets(experiment: Experiment) -> list[Artifact]:
    """What the workflow's target `all` makes."""
    return [*(Table(name) for name in experiment.tables), Overview(), Tracking()]


def _stored(experiment: Experiment, dataset: str, region_set: str) -> list[Artifact]:
    """The stored regions of a data set, if any are kept."""
    return [StoredRegions(dataset, region_set)] if experiment.config.regions.max_gb else []
