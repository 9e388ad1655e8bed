"""One experiment: a checked configuration with its entries, and what follows from them.

Everything that a step takes from the configuration it takes from here, so a step by hand needs no more than
a key and a file.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from .artifacts import Roots
from .clip.architecture import read_architecture
from .config.entries import (
    BASE,
    DatasetConfig,
    MethodEntry,
    PluginEntry,
    check_plugin,
    load_dataset,
    load_method,
    load_plugin,
    load_settings,
    method_title,
    variants_of,
)
from .config.models import BackboneConfig, Regions
from .config.schema import Config
from .data.vocabulary import read_names
from .errors import UserError
from .hyperparameters import Tokens, require_fit, require_valid
from .miniature import MODELS
from .protocols import PROTOCOLS, protocol_named, protocol_of
from .protocols.base import ProtocolSettings
from .run import MethodParts, family, is_cascaded
from .validation import did_you_mean, known_names, listed, read_yaml, validate

BOOSTED = "boosted"  # features seen through a boosting prompt, and that prompt
PLAIN = "plain"  # features without any prompt
TEACHER = "promptkd_teacher"  # the method that teachers are tuned by


class JobGroup(NamedTuple):
    """The (shots, seed) of a protocol that one job trains, or tests."""

    protocol: str
    index: int
    runs: list[tuple[int, int]]


@dataclass(frozen=True)
class Experiment:
    """A checked configuration, and the folder of the entries of data sets and methods."""

    config: Config
    config_dir: Path = Path("config")

    @classmethod
    def read(cls, file: Path, config_dir: Path) -> "Experiment":
        """Read and check a configuration file; UserError says what is wrong with it."""
        return cls.checked(read_yaml(file), config_dir)

    @classmethod
    def checked(cls, content: dict[str, Any], config_dir: Path) -> "Experiment":
        """Check the content of a configuration file, and the data sets and methods that it names."""
        experiment = cls(validate(Config, content, "configuration"), config_dir)
        _check(experiment)
        return experiment

    @property
    def results(self) -> Path:
        """The folder of everything that the workflow writes."""
        return Path(self.config.results)

    @property
    def roots(self) -> Roots:
        """The folders that paths of inputs count from."""
        return Roots(results=self.results, data=Path(self.config.data_root), config=self.config_dir)

    def refuse_old_results(self) -> None:
        """UserError if the folder of results was filled by a version that named files otherwise."""
        old = next(self.results.glob("splits/*/*shots_seed*.json"), None) or next(
            self.results.glob("predictions/*/*/*/0shots.parquet"), None
        )
        if old:
            raise UserError(
                f"{self.results} was filled by an earlier version of this program, which named files "
                f"otherwise (such as {old}): move the folder away, or delete all in it but data, and run "
                "again."
            )

    # Entries

    def dataset(self, name: str) -> DatasetConfig:
        """A data set's entry."""
        return load_dataset(name, self.config_dir)

    def image_folder(self, dataset: str) -> Path:
        """The folder that the paths of a data set's images count from."""
        entry = self.dataset(dataset)
        return Path(self.config.data_root, entry.folder, entry.images)

    def method(self, name: str) -> MethodEntry:
        """A method's entry."""
        return load_method(name, self.config_dir)

    def plugin(self, method: str) -> PluginEntry | None:
        """The entry of a method's plug-in, if it has one."""
        return load_plugin(method, self.config_dir)

    def asks_teacher(self, method: str) -> bool:
        """Whether training on few shots takes the zero-shot teacher's looked-up answers."""
        return self.method(method).asks_teacher or self.plugin(method) is not None

    def title(self, method: str) -> str:
        """A method's name in tables."""
        return method_title(method, self.config_dir)

    @property
    def learning_nothing(self) -> list[str]:
        """Names of all methods that learn nothing."""
        methods = known_names(self.config_dir / "methods")
        return [name for name in methods if self.method(name).learns_from == "nothing"]

    def method_files(self, method: str, dataset: str) -> dict[str, Path]:
        """The files that a method reads for a data set, by the names in its entry."""
        patterns = self.method(method).files
        return {name: self.config_dir / path.replace("{dataset}", dataset) for name, path in patterns.items()}

    def backbone(self, method: str | None = None) -> BackboneConfig:
        """The model that prompts are learned for: the student, but for the method that tunes teachers."""
        models = self.config.backbones
        return models.teacher if method == TEACHER else models.student

    # Protocols, and what each of them runs

    @cached_property
    def protocols(self) -> dict[str, ProtocolSettings]:
        """The settings of the protocols that are run, by name."""
        return self.config.protocols.chosen()

    def settings(self, protocol: str) -> ProtocolSettings:
        """The settings of a protocol; UserError if the experiment does not run it."""
        if protocol not in self.protocols:
            protocol_named(protocol)
            raise UserError(f"The configuration does not run {protocol}: add it under protocols.")
        return self.protocols[protocol]

    def protocol_parameters(self, protocol: str) -> dict[str, Any]:
        """What of a protocol's settings its trainings and tests depend on."""
        settings = self.settings(protocol)
        return PROTOCOLS[protocol].parameters(settings)

    def runs(self, protocol: str) -> list[tuple[int, int]]:
        """The (shots, seed) of every training of one method on one data set, seed by seed."""
        settings = self.settings(protocol)
        return [(k, seed) for seed in settings.seeds for k in PROTOCOLS[protocol].shots(settings)]

    @cached_property
    def job_groups(self) -> list[JobGroup]:
        """The runs of every protocol, cut into jobs."""
        size = self.config.jobs.runs_per_job
        return [
            JobGroup(protocol, index, runs[start : start + size])
            for protocol in self.protocols
            for runs in [self.runs(protocol)]
            for index, start in enumerate(range(0, len(runs), size))
        ]

    def source(self, protocol: str) -> str | None:
        """The data set that is trained on, where others are tested."""
        settings = self.settings(protocol)
        return PROTOCOLS[protocol].source(settings)

    def trained_on(self, protocol: str, dataset: str, method: str | None = None) -> str:
        """The data set whose images a prompt that is tested on `dataset` was learned from.

        A student of a teacher learns from the unlabelled images of each data set that it is tested on.
        """
        if method is not None and self.method(method).learns_from == "teacher":
            return dataset
        return self.source(protocol) or dataset

    # Tables

    @cached_property
    def tables(self) -> list[str]:
        """The tables that the experiment makes."""
        every = [table.name for protocol in self.protocols for table in PROTOCOLS[protocol].tables]
        return [table for table in every if self.tested(table)]

    def tested(self, table: str) -> list[str]:
        """The data sets whose test images a table shows, without the source."""
        protocol = protocol_of(table)
        return protocol.tested(table, self.settings(protocol.name), self.config.datasets)

    def methods_of(self, table: str) -> list[str]:
        """The rows of a table: what the protocol, or else the experiment, asks for and can be applied."""
        own = self.settings(protocol_of(table).name).methods
        asked = self.config.methods if own is None else own
        return [method for method in asked if table in self.method(method).applies_to]

    @cached_property
    def ablations(self) -> dict[str, list[str]]:
        """The methods whose variants are compared, and those variants; none without base_to_novel."""
        compared = self.config.ablation if "base_to_novel" in self.protocols else []
        return {method: self._differing(method) for method in compared}

    def _differing(self, method: str) -> list[str]:
        """The variants of a method that differ from it: a plug-in's need not, on every method."""

        def values(name: str) -> list[dict[str, Any]]:
            return [self.hyperparameters(name, dataset, BASE) for dataset in self.config.datasets]

        variants, usual = variants_of(method, self.config_dir).items(), values(method)
        return [name for name, own in variants if own.compared and values(name) != usual]

    def tables_of(self, protocol: str) -> list[str]:
        """The tables that a protocol's results are shown in, of those that are made."""
        return [table.name for table in PROTOCOLS[protocol].tables if table.name in self.tables]

    def evaluated(self, protocol: str, method: str) -> list[str]:
        """The data sets that a protocol tests a method on.

        A method that learns from a teacher is trained on each target itself, so it is not tested on the
        source.
        """
        targets = [
            dataset
            for table in self.tables_of(protocol)
            if method in self.rows(table)
            for dataset in self.tested(table)
        ]
        source = self.source(protocol)
        return [source, *targets] if source and self.method(method).learns_from != "teacher" else targets

    def rows(self, table: str) -> list[str]:
        """The methods that a table shows, or an ablation, which shares the metrics of base_to_novel."""
        compared = self.ablations if table == "base_to_novel" else {}
        variants = (name for method, own in compared.items() for name in (method, *own))
        return [*self.methods_of(table), *variants]

    # Settings of one training

    def hyperparameters(self, method: str, dataset: str, protocol: str) -> dict[str, Any]:
        """A method's hyper-parameters on one data set in one protocol.

        The published ones of base-to-novel, then what differs with boosting, on this data set, in the
        protocol (in the same order), and in the experiment; a variant changes what all this makes of its
        method, and can be overridden by its own name.  UserError for an override that the method does not
        know.
        """
        parts, entry, plugin = MethodParts.of(method), self.method(method), self.plugin(method)
        own: dict[str, Any] = {}
        for settings in load_settings(method, self.config_dir):
            for layer in settings.layers(protocol):
                own |= layer.on(dataset, parts.cascaded)
        usual = _inherited(parts.usual)
        own |= self._overrides(method, usual, own, protocol)
        for one, variant in ((entry, parts.variant), (plugin, parts.plugin_variant)):
            own |= one.variants[variant].hyperparameters if variant else {}
        varied = [name for name in _inherited(parts) if name not in usual]
        return own | self._overrides(method, varied, own, protocol)

    def tokens(self, method: str, dataset: str, protocol: str) -> tuple[Tokens, Tokens]:
        """The tokens of a method, and of the boosting prompt that it is cascaded on."""
        own = Tokens.of(self.method(method), self.hyperparameters(method, dataset, protocol))
        if not is_cascaded(method):
            return own, Tokens(0, 0, 0)
        return own, self.tokens("boosting", dataset, PROTOCOLS[protocol].boosting)[0]

    def _overrides(
        self, method: str, names: list[str], known: dict[str, Any], protocol: str
    ) -> dict[str, Any]:
        """What the experiment, and then its protocol, sets again by these names, of what is `known`."""
        own, settings = {}, self.protocols.get(protocol)
        for overrides in (self.config.overrides, settings.overrides if settings else {}):
            for name in names:
                own |= overrides.get(name, {})
        for key in own:
            if key not in known:
                hint = did_you_mean(key, list(known))
                raise UserError(f"overrides: {method} has no hyper-parameter {key!r}{hint}.")
        return own

    def vocabulary(self, method: str, dataset: str, protocol: str) -> str | None:
        """The vocabulary that training knows in place of class names, if it is class-agnostic."""
        return self.hyperparameters(method, dataset, protocol).get("vocabulary")

    def vocabulary_file(self, vocabulary: str) -> Path:
        """A file with a name a line."""
        return self.config_dir / "vocabularies" / f"{vocabulary}.txt"

    def regions(self, method: str, dataset: str, protocol: str) -> Regions:
        """The random regions of an image that the training of a method, or "boosting", sees.

        One an epoch, unless the method's `regions` or the experiment's `regions.count` say less; of the
        experiment's scale, unless the method's `region_scale` says another.
        """
        own = self.hyperparameters(method, dataset, protocol)
        seen = _whole(method, "epochs", own.get("epochs"))
        if own.get("regions") is not None:
            seen = min(seen, _whole(method, "regions", own["regions"]))
        drawn = self.config.regions.for_epochs(seen)
        if (scale := own.get("region_scale")) is None:
            return drawn
        return validate(Regions, drawn.model_dump() | {"scale": scale}, f"{method}: region_scale")

    def region_set(self, regions: Regions) -> str:
        """What regions are called in paths: "20", or "20_0.08to1.0" where their scale is a method's own."""
        usual = regions.scale == self.config.regions.scale
        return str(regions.count) if usual else "{}_{}to{}".format(regions.count, *regions.scale)

    def regions_named(self, region_set: str) -> Regions:
        """The regions of a name that `region_set` gave; UserError for another."""
        try:
            count, _, scale = region_set.partition("_")
            own = {"scale": tuple(map(float, scale.split("to")))} if scale else {}
            regions = self.config.regions.for_epochs(int(count)).model_dump() | own | {"count": int(count)}
        except ValueError:
            raise UserError(f"{region_set!r} is not a set of regions, such as 20 or 20_0.25to1.0.") from None
        return validate(Regions, regions, f"the set of regions {region_set}")

    def sees_pixels(self, method: str) -> bool:
        """Whether every training step of a method sees regions of images, and not only looked-up features."""
        entry = self.method(method)
        return entry.learns_from in ("regions", "teacher") and entry.looks_up != "cascade"

    def feature_kind(self, method: str, protocol: str) -> str | None:
        """Which of the student's features a method looks up: plain, or seen through a boosting prompt."""
        looks_up = self.method(method).looks_up
        if looks_up == "cascade" and is_cascaded(method):
            return boosting_kind(protocol)
        return looks_up and PLAIN


def _inherited(method: MethodParts) -> list[str]:
    """The names whose overrides hold for a method, the last one first of all.

    What is set for a method alone holds for it behind boosting prompts and with a plug-in, too.
    """
    bare = method._replace(plugin=None, plugin_variant=None)
    return list(dict.fromkeys(map(str, (bare.alone, bare, method.alone, method))))


def boosting_kind(protocol: str) -> str:
    """The name of the boosting prompt of a data set that a protocol takes: "boosted", "boosted_transfer"."""
    like = PROTOCOLS[protocol].boosting
    return BOOSTED if like == "base_to_novel" else f"{BOOSTED}_{like}"


def boosting_protocol(kind: str) -> str:
    """The protocol whose settings a boosting prompt is learned with; UserError if there is no such prompt."""
    like = {boosting_kind(name): protocol.boosting for name, protocol in PROTOCOLS.items()}
    if kind not in like:
        raise UserError(f"There is no boosting prompt {kind!r}{did_you_mean(kind, list(like))}.")
    return like[kind]


def weights_files(backbone: BackboneConfig) -> list[Path]:
    """The files that a backbone is made from, where they are files here."""
    if backbone.pretrained == "miniature":
        return [MODELS / f"{backbone.model}.{ending}" for ending in ("json", "safetensors")]
    return [path] if (path := Path(backbone.pretrained)).is_file() else []


def _whole(method: str, key: str, value: object) -> int:
    """A whole number of at least 1; the command line gives strings."""
    with suppress(TypeError, ValueError):
        if int(value) >= 1:
            return int(value)
    raise UserError(f"{method}: {key} is {value!r}, but must be a whole number of at least 1.")


def _check(experiment: Experiment) -> None:
    """UserError if what a configuration names does not exist, or does not fit together."""
    config = experiment.config
    for method in known_names(experiment.config_dir / "methods"):  # a faulty entry is said before it is used
        experiment.method(method)
    for plugin in known_names(experiment.config_dir / "plugins"):
        check_plugin(plugin, experiment.config_dir)
    if config.published and not Path(config.published).is_dir():
        raise UserError(f"published: there is no folder {config.published}.")
    tested = [dataset for table in experiment.tables for dataset in experiment.tested(table)]
    sources = [source for protocol in experiment.protocols if (source := experiment.source(protocol))]
    datasets = list(dict.fromkeys([*config.datasets, *tested, *sources]))
    for dataset in [*datasets, *config.lookup.parts_of]:
        experiment.dataset(dataset)
    config.backbones.student.require_file()
    config.backbones.teacher.require_file()
    _check_methods(experiment, config.methods, experiment.tables)
    for method in config.ablation:
        if MethodParts.of(method).is_variant:
            usual = MethodParts.of(method).usual
            raise UserError(f"ablation: {method} is a variant: name the method itself, {usual}.")
        if not variants_of(method, experiment.config_dir):
            raise UserError(f"ablation: {method} has no variants: list some in its entry, or drop it.")
    for protocol, settings in experiment.protocols.items():
        named = [*config.methods, *(settings.methods or []), *config.overrides, *settings.overrides]
        for method in dict.fromkeys(named):
            for dataset in config.datasets:
                require_valid(method, experiment.hyperparameters(method, dataset, protocol))
        _check_tables(experiment, protocol)
        _check_tokens(experiment, protocol)
        _check_boosting(protocol, settings)


def _check_tokens(experiment: Experiment, protocol: str) -> None:
    """UserError where a model has no place for the tokens of what is trained, boosting included."""
    like = PROTOCOLS[protocol].boosting
    trained = set()
    for method in dict.fromkeys(
        row for table in experiment.tables_of(protocol) for row in experiment.rows(table)
    ):
        for dataset in experiment.evaluated(protocol, method):
            own = experiment.trained_on(protocol, dataset, method)
            trained.add((method, own, protocol))
            if is_cascaded(method):
                trained.add(("boosting", own, like))
            if experiment.method(method).learns_from == "teacher":
                trained.add((TEACHER, experiment.trained_on(protocol, dataset), protocol))
    for method, dataset, settings in sorted(trained):
        require_valid(method, experiment.hyperparameters(method, dataset, settings))
        own, frozen = experiment.tokens(method, dataset, settings)
        require_fit(method, own, frozen, read_architecture(experiment.backbone(method).model))


def _check_boosting(protocol: str, settings: ProtocolSettings) -> None:
    """UserError for a boosting prompt of one protocol's own, where several share a data set's."""
    like = PROTOCOLS[protocol].boosting
    sharing = [name for name, other in PROTOCOLS.items() if other.boosting == like]
    if "boosting" in settings.overrides and len(sharing) > 1:
        raise UserError(
            f"protocols.{protocol}.overrides: {listed(sharing)} share a data set's boosting prompt; "
            "move boosting to the overrides of the whole experiment."
        )


def _check_tables(experiment: Experiment, protocol: str) -> None:
    """UserError for a method that fits no table, a table without methods, and a missing file of a method."""
    made = experiment.tables_of(protocol)
    _check_methods(experiment, experiment.protocols[protocol].methods or [], made)
    for table in made:
        if not experiment.methods_of(table):
            raise UserError(
                f"methods: none of them can be applied to {table}: add one, or drop {table} from the "
                "protocols."
            )
    methods = dict.fromkeys(method for table in made for method in experiment.methods_of(table))
    _check_vocabularies(experiment, methods, protocol)
    for method in methods:
        for dataset in experiment.evaluated(protocol, method):
            for name, path in experiment.method_files(method, dataset).items():
                if not path.is_file():
                    raise UserError(
                        f"{method} reads {name} for {dataset} from {path}, which does not exist: put the "
                        f"file there, or change files in the entry of {family(method)}."
                    )


def _check_vocabularies(experiment: Experiment, methods: Iterable[str], protocol: str) -> None:
    """UserError for a vocabulary that is not there, or is none."""
    used = {
        experiment.vocabulary(method, experiment.trained_on(protocol, dataset, method), protocol): method
        for method in methods
        for dataset in experiment.evaluated(protocol, method)
    }
    for vocabulary, method in used.items():
        if vocabulary is None:
            continue
        if not (path := experiment.vocabulary_file(vocabulary)).is_file():
            raise UserError(
                f"{method} reads a vocabulary from {path}, which does not exist: put a text file there, a "
                "name a line (KDPL's: src/classnames_dictionay.csv of github.com/miccunifi/KDPL, without its "
                "heading)."
            )
        read_names(path)


def _check_methods(experiment: Experiment, methods: Iterable[str], made: list[str]) -> None:
    """UserError for a method that cannot be applied to any of the tables that are made."""
    for method in methods:
        possible = experiment.method(method).applies_to
        if not set(made) & set(possible):
            raise UserError(
                f"methods: {method} cannot be applied to {listed(made, 'or')}, but to "
                f"{listed(possible or ['no table'])}: drop it."
            )
