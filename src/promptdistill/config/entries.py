"""Entries of data sets and methods: `config/datasets/NAME.yaml` and `config/methods/NAME.yaml`."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from ..errors import UserError
from ..protocols import PROTOCOLS, TABLES
from ..run import CASCADED, VARIANT, family, split_method, split_variant
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


class Differences(Strict):
    """What differs from base-to-novel in another protocol."""

    hyperparameters: dict[str, Any] = Field({})
    with_boosting: dict[str, Any] = Field({}, description="when cascaded on boosting prompts")
    datasets: dict[str, dict[str, Any]] = Field({}, description="on single data sets")


BASE = "base_to_novel"  # the protocol that an entry's own hyper-parameters are for

_ByProtocol = create_model(
    "_ByProtocol",
    __base__=Strict,
    **{
        name: (Differences, Field(Differences(), description=f"what differs in {name}: {protocol.about}"))
        for name, protocol in PROTOCOLS.items()
        if name != BASE
    },
)


class Variant(Strict):
    """A method with other hyper-parameters, under a name of its own: "fdbpl@one_region"."""

    title: str = Field(description="what differs, in a few words")
    group: str = Field("Variants", description="heading in the table of `snakemake ablation`")
    hyperparameters: Annotated[dict[str, Any], Field(min_length=1)]


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
    "features",
    "regions",
    "parts",
    "roots",
)


class MethodEntry(_ByProtocol):
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

    def differences(self, protocol: str) -> Differences:
        """What differs in a protocol from base-to-novel."""
        return Differences() if protocol == BASE else getattr(self, protocol)


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
    """Read config/methods/NAME.yaml, for "coop" as well as for "coop+caspl" and for variants."""
    base_name, cascaded, variant = family(name), split_method(name)[1], split_variant(name)[1]
    path = config_dir / "methods" / f"{base_name}.yaml"
    _require(path, f"method {name!r}")
    entry = read_entry(MethodEntry, path)
    if cascaded and entry.with_boosting is None:
        raise UserError(
            f"{base_name} cannot be cascaded on boosting prompts: drop {CASCADED}, or say in {path} "
            "with the key with_boosting what differs then."
        )
    if variant and variant not in entry.variants:
        hint = did_you_mean(variant, list(entry.variants))
        raise UserError(f"{base_name} has no variant {variant!r}{hint}: see variants in {path}.")
    return entry


def method_title(name: str, config_dir: Path) -> str:
    """A method's name in tables: "CoOp", "CoOp + CasPL", "FDBPL (one region) + CasPL"."""
    entry, variant = load_method(name, config_dir), split_variant(name)[1]
    differing = f" ({entry.variants[variant].title})" if variant else ""
    return entry.title + differing + (" + CasPL" if split_method(name)[1] else "")


def variants_of(method: str, config_dir: Path) -> dict[str, Variant]:
    """A method's variants under their full names: "fdbpl@one_region+caspl" for "fdbpl+caspl"."""
    plain, cascaded = split_method(method)
    suffix = CASCADED * cascaded
    variants = load_method(method, config_dir).variants
    return {f"{plain}{VARIANT}{name}{suffix}": variant for name, variant in variants.items()}
