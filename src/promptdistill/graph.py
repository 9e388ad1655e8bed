"""What every artifact of an experiment is made from: one description for rules, commands and the plan.

A class here is one kind of file.  Its fields are the wildcards of its rule and, joined by slashes, the key
that its command takes; `inputs` names what is read to make it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from .config import Regions
from .errors import UserError
from .experiment import PLAIN, TEACHER, Experiment, boosting_kind, boosting_protocol, weights_files
from .protocols import protocol_of
from .run import NO_SEED, RunKey, family, split_method

ZERO_SHOT = "zero_shot"  # a teacher as it is
_TUNED = "{protocol}-{shots}-{seed}"  # a teacher that was tuned on few shots
_NUMBERS = ("shots", "seed", "part", "parts")

Inputs = dict[str, list["Artifact"]]


@dataclass(frozen=True)
class Artifact:
    """One file below the folder of results; two that are equal are the same one."""

    stage: ClassVar[str]  # in the plan
    rule: ClassVar[str]
    pattern: ClassVar[str]  # path below the folder of results
    code: ClassVar[tuple[str, ...]]  # modules of the package that make it; what they import follows

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
        raise UserError(f"{key!r} does not say what to make: give {form}.")

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
        """Files of the user's that it is made from, and that may change: weights, a method's own data."""
        return {}

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """What of the configuration it depends on: a change makes it again."""
        return {}

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        """The modules that make it: those of its kind, and of its method and protocol."""
        return self.code

    def name_of_rule(self, experiment: Experiment) -> str:
        """The name of its rule in the workflow."""
        return self.rule


def _fits(name: str, text: str) -> bool:
    return text.isdecimal() if name in _NUMBERS else bool(text)


def _value(name: str, text: Any) -> Any:
    if name not in _NUMBERS or isinstance(text, int):
        return text
    return None if text in (None, NO_SEED) else int(text)


# Data


@dataclass(frozen=True)
class Receipt(Artifact):
    """A data set was fetched, drawn or recognised."""

    stage, rule, pattern = "data", "data", "data/{dataset}.json"
    code = ("data.download", "data.receipt")
    dataset: str

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The entry, and where data sets lie."""
        return {"entry": experiment.dataset(self.dataset).model_dump(), "data": experiment.config.data_root}

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        """Those of the generator, too, where it draws."""
        drawn = experiment.dataset(self.dataset).miniature
        return (*self.code, "miniature.datasets") if drawn else self.code


@dataclass(frozen=True)
class Split(Artifact):
    """A data set's split, checked against its files."""

    stage, rule, pattern = "splits", "split", "splits/{dataset}/split.json"
    code = ("data.published",)
    dataset: str

    def inputs(self, experiment: Experiment) -> Inputs:
        """The data set's receipt."""
        return {"receipt": [Receipt(self.dataset)]}

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The entry, and where data sets lie."""
        return Receipt(self.dataset).parameters(experiment)


@dataclass(frozen=True)
class Draw(Artifact):
    """Few shots of every class."""

    stage, rule, pattern = "splits", "draw", "splits/{dataset}/{shots}/{seed}.json"
    code = ("data.splits",)
    dataset: str
    shots: int
    seed: int

    def inputs(self, experiment: Experiment) -> Inputs:
        """The split."""
        return {"split": [Split(self.dataset)]}


# Features


@dataclass(frozen=True)
class StoredRegions(Artifact):
    """Random regions of every training image, cut once.

    A longer training sees more regions, so its store is its own: then no method reruns because of another.
    """

    stage, rule, pattern = "regions", "regions", "regions/{dataset}/{region_set}/manifest.json"
    code = ("features.region_build",)
    dataset: str
    region_set: str

    def inputs(self, experiment: Experiment) -> Inputs:
        """The split."""
        return {"split": [Split(self.dataset)]}

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """Geometry, the student's input size, and the disk that is allowed."""
        return {
            "regions": _dump(experiment.regions_named(self.region_set)),
            "student": _dump(experiment.backbone()),
            "max_gb": experiment.config.regions.max_gb,
        }


@dataclass(frozen=True)
class Lookup(Artifact):
    """A teacher's answers for random regions of every training image."""

    stage, rule, pattern = "lookup", "lookup", "lookup/{dataset}/{teacher}/{region_set}/manifest.json"
    code = ("features.lookup_build",)
    dataset: str
    teacher: str
    region_set: str

    @property
    def tuned(self) -> re.Match | None:
        """Protocol, shots and seed that the teacher was tuned on, None for a teacher as it is."""
        return re.fullmatch(r"(?P<protocol>\w+)-(?P<shots>\d+)-(?P<seed>\d+)", self.teacher)

    def inputs(self, experiment: Experiment) -> Inputs:
        """The split, the teacher's prompt, stored regions; and its parts, where several jobs share it."""
        lookup = experiment.config.lookup
        parts = lookup.parts_of.get(self.dataset, lookup.parts)
        shared = [LookupPart(*_fields(self), part, parts) for part in range(parts) if parts > 1]
        return {**self.answers(experiment), "parts": shared}

    def answers(self, experiment: Experiment) -> Inputs:
        """What the answers depend on."""
        prompt = []
        if tuned := self.tuned:
            source = experiment.trained_on(tuned["protocol"], self.dataset)
            prompt = [TeacherPrompt.of(tuned.groupdict(), dataset=source, method=TEACHER)]
        return {"split": [Split(self.dataset)], "prompt": prompt, "regions": _stored(experiment, self)}

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """The teacher's weights."""
        return {"weights": weights_files(experiment.config.backbones.teacher)}

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The teacher, its template, the regions, and how features are stored."""
        return {
            **_machine(experiment),
            "teacher": _dump(experiment.config.backbones.teacher),
            "template": experiment.dataset(self.dataset).template,
            "regions": _dump(experiment.regions_named(self.region_set)),
            "stored": experiment.config.lookup.model_dump(include={"batch_size", "shard_images", "dtype"}),
        }


@dataclass(frozen=True)
class LookupPart(Lookup):
    """One part of a lookup that several jobs share."""

    rule = "lookup_part"
    pattern = "lookup/{dataset}/{teacher}/{region_set}/parts/{part}-of-{parts}"
    part: int
    parts: int

    def inputs(self, experiment: Experiment) -> Inputs:
        """What the whole depends on."""
        return self.answers(experiment)


@dataclass(frozen=True)
class StudentFeatures(Artifact):
    """The student's image features that no training changes."""

    stage = "features"
    code = ("features.lookup_build",)
    dataset: str
    feature_kind: str

    def boosting(self, experiment: Experiment) -> list[Artifact]:
        """The boosting prompt that images are seen through, if they are: for transfer, the source's."""
        if self.feature_kind == PLAIN:
            return []
        return [boosting_prompt(experiment, boosting_protocol(self.feature_kind), self.dataset)]

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """The student's weights."""
        return {"weights": weights_files(experiment.backbone())}

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The student, and how features are stored."""
        return {
            **_machine(experiment),
            "student": _dump(experiment.backbone()),
            "stored": experiment.config.lookup.model_dump(include={"batch_size", "shard_images"}),
        }


@dataclass(frozen=True)
class DrawFeatures(StudentFeatures):
    """Features of random regions of a draw's images."""

    rule = "features"
    pattern = "features/{dataset}/{feature_kind}/{region_set}/{protocol}/{shots}/{seed}/manifest.json"
    region_set: str
    protocol: str
    shots: int
    seed: int

    def inputs(self, experiment: Experiment) -> Inputs:
        """The split, the draw, and the boosting prompt."""
        return {
            "split": [Split(self.dataset)],
            "draw": [Draw(self.dataset, self.shots, self.seed)],
            "boosting": self.boosting(experiment),
        }

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The student, the regions, and how features are stored."""
        regions = _dump(experiment.regions_named(self.region_set))
        return {**super().parameters(experiment), "regions": regions}

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        """Those of the protocol, too, which says whose images are encoded."""
        return (*self.code, f"protocols.{self.protocol}")

    def name_of_rule(self, experiment: Experiment) -> str:
        """One rule for each group of runs."""
        return _grouped(self, experiment)


@dataclass(frozen=True)
class TestFeatures(StudentFeatures):
    """Features of the test images."""

    rule, pattern = "test_features", "features/{dataset}/{feature_kind}/test/manifest.json"

    def inputs(self, experiment: Experiment) -> Inputs:
        """The split, and the boosting prompt."""
        return {"split": [Split(self.dataset)], "boosting": self.boosting(experiment)}


# Training


class Trained(Artifact):
    """What all trainings share."""

    def _parameters(self, experiment: Experiment, method: str, protocol: str) -> dict[str, Any]:
        """The model, the template, hyper-parameters and regions; `protocol` says which."""
        dataset = self.wildcards["dataset"]
        learns_from = experiment.method(method).learns_from
        regions = None if learns_from == "images" else experiment.regions(method, dataset, protocol)
        return {
            **_machine(experiment),
            "student": _dump(experiment.backbone(method)),
            "template": experiment.dataset(dataset).template,
            "hyperparameters": experiment.hyperparameters(method, dataset, protocol),
            "regions": regions and _dump(regions),
        }


@dataclass(frozen=True)
class BoostingPrompt(Trained):
    """A boosting prompt, once a data set: it serves every method, every seed, and several protocols."""

    stage, rule, pattern = "boosting", "boost", "boosting/{dataset}/{boosting}.safetensors"
    code = ("training.stages", "methods.boosting")
    dataset: str
    boosting: str

    @property
    def protocol(self) -> str:
        """The protocol whose settings it is learned with."""
        return boosting_protocol(self.boosting)

    def inputs(self, experiment: Experiment) -> Inputs:
        """The split, the zero-shot teacher's answers, and stored regions."""
        regions = experiment.regions("boosting", self.dataset, self.protocol)
        answers = Lookup(self.dataset, ZERO_SHOT, experiment.region_set(regions))
        return {
            "split": [Split(self.dataset)],
            "answers": [answers],
            "regions": _stored(experiment, answers),
        }

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """The student's weights."""
        return {"weights": weights_files(experiment.backbone())}

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The student, the template, hyper-parameters and regions."""
        return self._parameters(experiment, "boosting", self.protocol)


@dataclass(frozen=True)
class OfRun(Artifact):
    """What one run leaves."""

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
        """The one that a run's key names; UserError if it is not a run's key."""
        return cls(*RunKey.parse(key))

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        """Those of its kind, its method and its protocol."""
        return (*self.code, f"methods.{family(self.method)}", f"protocols.{self.protocol}")

    def name_of_rule(self, experiment: Experiment) -> str:
        """One rule for each group of runs."""
        return _grouped(self, experiment)

    def boosting(self, experiment: Experiment) -> list[Artifact]:
        """The boosting prompt that a method with +caspl is cascaded on."""
        cascaded = split_method(self.method)[1]
        return [boosting_prompt(experiment, self.protocol, self.dataset)] if cascaded else []

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """The weights, and what the method reads of its own."""
        own = experiment.method_files(self.method, self.dataset)
        weights = weights_files(experiment.backbone(self.method))
        return {"weights": weights, **{name: [path] for name, path in own.items()}}


@dataclass(frozen=True)
class Prompt(OfRun, Trained):
    """A method's prompt, learned from few shots or from a tuned teacher."""

    stage, rule = "adapting", "adapt"
    pattern = "adapting/{protocol}/{dataset}/{method}/{shots}/{seed}.safetensors"
    code = ("training.stages",)

    def inputs(self, experiment: Experiment) -> Inputs:
        """The split, and what the method has use for.

        A draw or a teacher's answers; a boosting prompt; looked-up features; and stored regions, where every
        step sees images.
        """
        entry, split = experiment.method(self.method), [Split(self.dataset)]
        draw = [Draw(self.dataset, self.shots, self.seed)]
        if entry.learns_from == "images":
            return {"split": split, "draw": draw, "boosting": self.boosting(experiment)}
        regions = experiment.regions(self.method, self.dataset, self.protocol)
        region_set = experiment.region_set(regions)
        answers = Lookup(self.dataset, ZERO_SHOT, region_set)
        stored = _stored(experiment, answers) if experiment.sees_pixels(self.method) else []
        if entry.learns_from == "teacher":
            answers = Lookup(self.dataset, _tuned_by(experiment, self.protocol, self.shots), region_set)
            return {"split": split, "answers": [answers], "regions": stored}
        kind = experiment.feature_kind(self.method, self.protocol)
        features = DrawFeatures.of(self.wildcards, feature_kind=kind, region_set=region_set)
        return {
            "split": split,
            "draw": draw,
            "boosting": self.boosting(experiment),
            "answers": [answers] if entry.asks_teacher else [],
            "features": [features] if kind else [],
            "regions": stored,
        }

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The model, the template, hyper-parameters, regions and sessions."""
        own = self._parameters(experiment, self.method, self.protocol)
        return {**own, "sessions": experiment.session_count(self.protocol)}


@dataclass(frozen=True)
class TeacherPrompt(Prompt):
    """The prompt that a teacher was tuned by, on the few shots of a protocol's first seed."""

    stage, rule = "teacher tuning", "tune_teacher"
    pattern = "teachers/{protocol}/{dataset}/{method}/{shots}/{seed}.safetensors"

    def inputs(self, experiment: Experiment) -> Inputs:
        """The split, the draw, and stored regions: the teacher's own features are not looked up."""
        inputs = super().inputs(experiment)
        return {name: inputs[name] for name in ("split", "draw", "regions")}

    def name_of_rule(self, experiment: Experiment) -> str:
        """One rule for all."""
        return self.rule


# Results


@dataclass(frozen=True)
class Predictions(OfRun):
    """Predictions of a run's test images."""

    stage, rule = "evaluation", "evaluate"
    pattern = "predictions/{protocol}/{dataset}/{method}/{shots}/{seed}.parquet"
    code = ("evaluation.predict",)

    def inputs(self, experiment: Experiment) -> Inputs:
        """The split, the prompt and what it is cascaded on, learned here or on the source, and features."""
        entry = experiment.method(self.method)
        source = experiment.trained_on(self.protocol, self.dataset, self.method)
        learned = entry.learns_from != "nothing"
        kind = experiment.feature_kind(self.method, self.protocol)
        looked_up = [TestFeatures(self.dataset, kind)] if entry.looks_up == "cascade" else []
        return {
            "split": [Split(self.dataset)],
            "prompt": [Prompt.of(self.wildcards, dataset=source)] if learned else [],
            "boosting": self.boosting(experiment),
            "features": looked_up,
        }

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The student, the template, the sessions, and how many images are encoded at a time."""
        return {
            **_machine(experiment),
            "sessions": experiment.session_count(self.protocol),
            "student": _dump(experiment.backbone()),
            "template": experiment.dataset(self.dataset).template,
            "batch_size": experiment.config.jobs.eval_batch_size,
        }

    def name_of_rule(self, experiment: Experiment) -> str:
        """One rule for each group of runs, and one for methods that learn nothing."""
        return _grouped(self, experiment) if self.shots else "evaluate_zero_shot"


@dataclass(frozen=True)
class Metrics(Artifact):
    """The accuracies of all runs of a method in a protocol."""

    stage, rule, pattern = "metrics", "metrics", "metrics/{protocol}/{method}.json"
    code = ("evaluation.metrics",)
    protocol: str
    method: str

    def inputs(self, experiment: Experiment) -> Inputs:
        """Predictions of every data set that is tested, of every run, or of one if nothing is learned."""
        learns = experiment.method(self.method).learns_from != "nothing"
        runs = experiment.runs(self.protocol) if learns else [(0, None)]
        return {
            "predictions": [
                Predictions(self.protocol, dataset, self.method, *run)
                for dataset in experiment.evaluated(self.protocol, self.method)
                for run in runs
            ]
        }

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        """Those of the protocol, too, which says what is measured."""
        return (*self.code, f"protocols.{self.protocol}")


@dataclass(frozen=True)
class Table(Artifact):
    """A table in all its forms; the record beside it lists what it was made from."""

    stage, rule, pattern = "tables", "table", "tables/{table}.html"
    code = ("report.render", "report.record")
    table: str

    def inputs(self, experiment: Experiment) -> Inputs:
        """The metrics of its rows."""
        protocol = protocol_of(self.table).name
        return {"metrics": [Metrics(protocol, method) for method in experiment.methods_of(self.table)]}

    def files(self, experiment: Experiment) -> dict[str, list[Path]]:
        """Published numbers, if there are any."""
        path = Path(experiment.config.published or "", f"{self.table}.csv")
        return {"published": [path] if experiment.config.published and path.is_file() else []}

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The whole configuration, which the record keeps, and the methods' titles."""
        methods = experiment.methods_of(self.table)
        titles = {method: experiment.title(method) for method in methods}
        return {"configuration": experiment.config.model_dump(), "titles": titles}

    def modules(self, experiment: Experiment) -> tuple[str, ...]:
        """Those of the protocol, too, which says what is shown."""
        return (*self.code, f"protocols.{protocol_of(self.table).name}")


@dataclass(frozen=True)
class AblationTable(Artifact):
    """A method beside its variants."""

    stage, rule, pattern = "tables", "ablation_table", "tables/ablation_{method}.html"
    code = ("report.render", "report.record", "protocols.base_to_novel")
    method: str

    def inputs(self, experiment: Experiment) -> Inputs:
        """The metrics of all of them."""
        methods = [self.method, *experiment.ablations[self.method]]
        return {"metrics": [Metrics("base_to_novel", method) for method in methods]}

    def parameters(self, experiment: Experiment) -> dict[str, Any]:
        """The whole configuration, which the record keeps, and the method's entry."""
        entry = experiment.method(self.method).model_dump()
        return {"configuration": experiment.config.model_dump(), "entry": entry}


@dataclass(frozen=True)
class Overview(Artifact):
    """The averages of all tables, for DVC."""

    stage, rule, pattern = "tables", "overview", "overview/metrics.json"
    code = ("report.overview",)

    def inputs(self, experiment: Experiment) -> Inputs:
        """All tables."""
        return {"tables": [Table(name) for name in experiment.tables]}


@dataclass(frozen=True)
class Tracking(Artifact):
    """The receipt of an import into MLflow."""

    stage, rule, pattern = "tracking", "track", "tracking.json"
    code = ("tracking.content", "tracking.importing")

    def inputs(self, experiment: Experiment) -> Inputs:
        """All tables, the metrics that they were made from, and what every run left."""
        tables = [Table(name) for name in experiment.tables]
        metrics = list(dict.fromkeys(one for table in tables for one in table.inputs(experiment)["metrics"]))
        predictions = [one for own in metrics for one in own.inputs(experiment)["predictions"]]
        used = [one.inputs(experiment) for one in predictions]
        return {
            "tables": tables,
            "metrics": metrics,
            "predictions": predictions,
            **{
                name: list(dict.fromkeys(file for own in used for file in own[name]))
                for name in ("prompt", "boosting", "split")
            },
        }


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


def targets(experiment: Experiment) -> list[Artifact]:
    """What the workflow's target `all` makes."""
    return [*(Table(name) for name in experiment.tables), Overview(), Tracking()]


def _stored(experiment: Experiment, lookup: Lookup) -> list[Artifact]:
    """The stored regions of a lookup, if any are kept."""
    kept = experiment.config.regions.max_gb
    return [StoredRegions(lookup.dataset, lookup.region_set)] if kept else []


def _tuned_by(experiment: Experiment, protocol: str, shots: int) -> str:
    """The name, in paths, of the teacher that a student of a protocol learns from."""
    seed = experiment.settings(protocol).seeds[0]
    return _TUNED.format(protocol=protocol, shots=shots, seed=seed)


def _grouped(artifact: Any, experiment: Experiment) -> str:
    """The name of the rule of a run: one for each group of a protocol's runs."""
    run = (artifact.shots, artifact.seed)
    for group in experiment.job_groups:
        if group.protocol == artifact.protocol and run in group.runs:
            return f"{artifact.rule}_{group.protocol}_{group.index}"
    raise UserError(
        f"The configuration has no run of {artifact.protocol} with {run[0]} shots, seed {run[1]}."
    )


def _machine(experiment: Experiment) -> dict[str, Any]:
    """What results depend on in their last bits."""
    config = experiment.config
    return {"device": config.device, "threads": config.jobs.threads, "precision": config.precision}


def _dump(model: Regions | Any) -> dict[str, Any]:
    return model.model_dump(mode="json")


def _fields(lookup: Lookup) -> tuple[str, str, str]:
    return lookup.dataset, lookup.teacher, lookup.region_set
