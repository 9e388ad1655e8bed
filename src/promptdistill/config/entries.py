"""Entries of data sets and methods: `config/datasets/NAME.yaml` and `config/methods/NAME.yaml`."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from ..errors import UserError
from ..protocols import PROTOCOLS, TABLES
from ..run import CASCADED, MethodParts
from ..validation import Strict, did_you_mean, known_names, listed, read_entry


def _below(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path:
        raise ValueError(f"{path!r} must be a path below, not absolute and without ..")
    return path


Below = Annotated[str, AfterValidator(_below)]  # a path that leads nowhere else


class Source(Strict):
    """One file to download for a data set."""

    name: Below = Field(description="file name under which the download is kept")
    url: str
    hash: str | None = Field(None, description="'sha256:...' or 'md5:...', where one is published")
    size: int | None = Field(
        None, description="bytes, where known; an archive may unpack to ten times as many"
    )
    licence: str = "see the data set's page"
    extract_to: Below | None = Field(
        None, description="folder, relative to data_root, to unpack into; none: the file is copied"
    )
    strip: int = Field(0, ge=0, description="leading path components dropped when unpacking")
    inner: Below | None = Field(
        None, description="archive inside this one; it alone is unpacked, and `strip` counts in it"
    )


class DatasetConfig(Strict):
    """One data set: the content of config/datasets/NAME.yaml."""

    folder: Below = Field(min_length=1, description="folder below data_root")
    images: Below = Field("", description="folder of the images below `folder`")
    split: Below = Field(description="split file below `folder`")
    split_format: Literal["zhou", "fgvc_aircraft", "imagenet", "imagenet_variant"] = Field(
        "zhou",
        description="form of the split; imagenet_variant: test images only, one folder a class, which is "
        "named by its WordNet id or its label among ImageNet's",
    )
    template: str = Field(description="zero-shot template with one {}")
    classes: int | None = Field(None, description="classes of the published split")
    sizes: dict[Literal["train", "val", "test"], int] = Field(
        {}, description="images of the published split's parts"
    )
    miniature: str | None = Field(None, description="drawn by the miniature generator of this name")
    page: str | None = Field(None, description="where a person finds the terms and the files")
    sources: list[Source] = Field([], description="originals, tried first")
    fallback: list[Source] = Field([], description="mirror, tried when an original fails")

    @model_validator(mode="after")
    def _one_placeholder(self) -> "DatasetConfig":
        if self.template.count("{}") != 1:
            raise ValueError(f"template {self.template!r} must hold exactly one {{}}")
        return self

    @model_validator(mode="after")
    def _downloads_do_not_collide(self) -> "DatasetConfig":
        names = [source.name for source in (*self.sources, *self.fallback)]
        if len(set(names)) < len(names):
            raise ValueError("two sources have one name, so one download would pass for the other")
        return self


class Layer(Strict):
    """Hyper-parameters, and what differs from them."""

    hyperparameters: dict[str, Any] = Field({})
    with_boosting: dict[str, Any] | None = Field(None, description="when cascaded on boosting prompts")
    datasets: dict[str, dict[str, Any]] = Field({}, description="on single data sets")

    def on(self, dataset: str, cascaded: bool) -> dict[str, Any]:
        """The hyper-parameters on a data set, alone or behind a boosting prompt."""
        own = (self.with_boosting or {}) if cascaded else {}
        return self.hyperparameters | own | self.datasets.get(dataset, {})


BASE = "base_to_novel"  # the protocol that an entry's own hyper-parameters are for

_ByProtocol = create_model(
    "_ByProtocol",
    __base__=Layer,
    **{
        name: (Layer, Field(Layer(), description=f"what differs in {name}: {protocol.about}"))
        for name, protocol in PROTOCOLS.items()
        if name != BASE
    },
)


class Settings(_ByProtocol):
    """Hyper-parameters of base-to-novel, and what differs from them in other protocols."""

    def layers(self, protocol: str) -> list[Layer]:
        """What counts in a protocol, the last one first of all."""
        return [self] if protocol == BASE else [self, getattr(self, protocol)]


class Variant(Strict):
    """A method with other hyper-parameters, under a name of its own: "fdbpl@one_region"."""

    title: str = Field(description="what differs, in a few words")
    group: str = Field("Variants", description="heading in the table of `snakemake ablation`")
    hyperparameters: Annotated[dict[str, Any], Field(min_length=1)]
    compared: bool = Field(True, description="whether `snakemake ablation` compares it with its method")


class Costs(Strict):
    """What a method computes beside one pass of its images and one text a class."""

    texts: int = Field(
        1,
        ge=1,
        description="texts of each class that a training step encodes, such as a positive and a negative one",
    )
    conditional: bool = Field(
        False, description="whether every image has text features of its own, as CoCoOp's"
    )
    compares: bool = Field(
        False,
        description="whether a training step encodes its images without tokens, too, as PromptKD's teacher",
    )


# What steps call the files that they read; a method's own need other names.
_TAKEN = (
    "weights",
    "split",
    "draw",
    "prompt",
    "boosting",
    "answers",
    "vocabulary",
    "features",
    "regions",
    "parts",
    "roots",
)


class MethodEntry(Settings):
    """One method: the content of config/methods/NAME.yaml."""

    title: str = Field(description="name in tables")
    source: str = Field(description="paper")
    learns_from: Literal["regions", "images", "teacher", "nothing"] = Field(
        "regions",
        description="random regions of few-shot images, step by step; whole few-shot images, at once; a "
        "teacher's answers for all training images, without labels; or nothing: it is only evaluated",
    )
    asks_teacher: bool = Field(
        False, description="whether training on few shots takes the zero-shot teacher's looked-up answers"
    )
    applies_to: list[Literal[*TABLES]] = Field(list(TABLES), description="tables that it can stand in")
    looks_up: Literal["plain", "cascade"] | None = Field(
        None,
        description="student's image features that nothing changes, and that are therefore computed once: "
        "without prompts (plain), or with the frozen prompts of the cascade",
    )
    takes_plugins: bool = Field(
        False, description="whether its loss leaves it to a plug-in what its logits are taught by"
    )
    costs: Costs = Field(Costs(), description="what `promptdistill plan` cannot tell from hyper-parameters")
    hyperparameters: dict[str, Any] = Field({}, description="as published, base-to-novel")
    with_boosting: dict[str, Any] | None = Field(
        None, description="what differs when cascaded on boosting prompts; none: cannot be cascaded"
    )
    datasets: dict[str, dict[str, Any]] = Field({}, description="what differs on single data sets")
    files: dict[str, str] = Field(
        {},
        description="JSON files that the method reads, by name, below the folder of entries; {dataset} "
        "stands for the data set, as in descriptions/{dataset}.json",
    )
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Variant] = Field(
        {}, description="name -> variant: METHOD@NAME stands wherever METHOD does"
    )

    @model_validator(mode="after")
    def _own_names_of_files(self) -> "MethodEntry":
        for name in self.files:
            if name in _TAKEN:
                raise ValueError(f"files.{name}: a step reads a file of that name already: choose another")
        return self

    @model_validator(mode="after")
    def _variants_change_what_there_is(self) -> "MethodEntry":
        for name, variant in self.variants.items():
            for key in variant.hyperparameters:
                if key not in self.hyperparameters:
                    hint = did_you_mean(key, list(self.hyperparameters))
                    raise ValueError(f"variants.{name}: there is no hyper-parameter {key!r}{hint}")
        return self

    @model_validator(mode="after")
    def _students_have_images_of_every_target(self) -> "MethodEntry":
        if self.learns_from != "teacher":
            return self
        possible = [name for name, table in TABLES.items() if table.students]
        if not set(self.applies_to) <= set(possible):
            raise ValueError(
                f"a method that learns from a teacher can be applied to {listed(possible)} alone: say "
                "so with applies_to"
            )
        if self.with_boosting is not None:
            raise ValueError("a method that learns from a teacher cannot be cascaded: drop with_boosting")
        return self


class PluginEntry(Settings):
    """What stands in for labels in the losses of methods: the content of config/plugins/NAME.yaml.

    Its hyper-parameters are added to a method's, or replace them.
    """

    title: str = Field(description="name in tables, behind the method's")
    source: str = Field(description="paper")
    methods: dict[str, Settings] = Field(
        {}, description="method -> its hyper-parameters, and those of the plug-in, where both are combined"
    )
    second_text: str | None = Field(
        None,
        description="hyper-parameter that says whether a training step encodes a second text of each class",
    )
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Variant] = Field(
        {}, description="name -> variant: METHOD+PLUGIN@NAME stands wherever METHOD+PLUGIN does"
    )

    @model_validator(mode="after")
    def _second_text_is_known(self) -> "PluginEntry":
        if self.second_text not in {None, *self.hyperparameters}:
            raise ValueError(f"second_text: there is no hyper-parameter {self.second_text!r}")
        return self


def load_dataset(name: str, config_dir: Path) -> DatasetConfig:
    """Read config/datasets/NAME.yaml."""
    path = config_dir / "datasets" / f"{name}.yaml"
    _require(path, f"data set {name!r}")
    return read_entry(DatasetConfig, path)


def _require(path: Path, what: str) -> None:
    if not path.is_file():
        hint = did_you_mean(path.stem, known_names(path.parent))
        raise UserError(f"There is no {what}: {path} does not exist{hint}.")


def load_method(name: str, config_dir: Path) -> MethodEntry:
    """Read config/methods/NAME.yaml, for "coop" as well as for "coop+caspl+fdbpl" and for variants."""
    parts = MethodParts.of(name)
    path = config_dir / "methods" / f"{parts.name}.yaml"
    _require(path, f"method {name!r}")
    entry = read_entry(MethodEntry, path)
    if parts.cascaded and entry.with_boosting is None:
        raise UserError(
            f"{parts.name} cannot be cascaded on boosting prompts: drop {CASCADED}, or say in {path} "
            "with the key with_boosting what differs then."
        )
    _require_variant(parts.name, parts.variant, entry.variants, path)
    if parts.plugin and not entry.takes_plugins:
        why = "it learns nothing" if entry.learns_from == "nothing" else "its loss is its own"
        raise UserError(f"{parts.name} takes no plug-in, since {why}: drop +{parts.plugin}.")
    return entry


def load_plugin(name: str, config_dir: Path) -> PluginEntry | None:
    """Read config/plugins/PLUGIN.yaml, for a method such as "coop+fdbpl"; None for one without a plug-in."""
    parts = MethodParts.of(name)
    if not parts.plugin:
        return None
    path = _plugin_path(parts.plugin, config_dir)
    _require(path, f"plug-in {parts.plugin!r} (of {name})")
    entry = read_entry(PluginEntry, path)
    _require_variant(parts.plugin, parts.plugin_variant, entry.variants, path)
    return entry


def check_plugin(plugin: str, config_dir: Path) -> None:
    """UserError if a plug-in's entry is faulty, or has settings for a method that takes no plug-in."""
    for method in read_entry(PluginEntry, _plugin_path(plugin, config_dir)).methods:
        load_method(f"{method}+{plugin}", config_dir)


def _plugin_path(plugin: str, config_dir: Path) -> Path:
    return config_dir / "plugins" / f"{plugin}.yaml"


def load_settings(name: str, config_dir: Path) -> list[Settings]:
    """What sets a method's hyper-parameters, the last one first of all: its entry, its plug-in's, both's."""
    entry, plugin = load_method(name, config_dir), load_plugin(name, config_dir)
    if plugin is None:
        return [entry]
    return [entry, plugin, plugin.methods.get(MethodParts.of(name).name, Settings())]


def _require_variant(name: str, variant: str | None, known: dict[str, Variant], path: Path) -> None:
    if variant and variant not in known:
        hint = did_you_mean(variant, list(known))
        raise UserError(f"{name} has no variant {variant!r}{hint}: see variants in {path}.")


def method_title(name: str, config_dir: Path) -> str:
    """A method's name in tables: "CoOp", "CoOp + CasPL", "CoOp + FDBPL (hinge)"."""
    parts, entry, plugin = MethodParts.of(name), load_method(name, config_dir), load_plugin(name, config_dir)
    title = _titled(entry, parts.variant) + (" + CasPL" if parts.cascaded else "")
    return title + (f" + {_titled(plugin, parts.plugin_variant)}" if plugin else "")


def _titled(entry: MethodEntry | PluginEntry, variant: str | None) -> str:
    return entry.title + (f" ({entry.variants[variant].title})" if variant else "")


def variants_of(method: str, config_dir: Path) -> dict[str, Variant]:
    """The variants of a method, or of its plug-in, by full name: "coop+fdbpl@hinge" for "coop+fdbpl"."""
    parts, plugin = MethodParts.of(method), load_plugin(method, config_dir)
    if plugin:
        return {str(parts._replace(plugin_variant=name)): own for name, own in plugin.variants.items()}
    own = load_method(method, config_dir).variants
    return {str(parts._replace(variant=name)): variant for name, variant in own.items()}
