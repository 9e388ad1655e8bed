"""The configuration: what is trained on what, and where it goes.

Three kinds of YAML file, each checked against a schema that rejects unknown keys:
`config/config.yaml` (the experiment), `config/datasets/NAME.yaml` and `config/methods/NAME.yaml`.
This module imports neither torch nor open_clip, so a workflow reads it in no time.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import UserError
from .files import sha256_of_json

Model = TypeVar("Model", bound=BaseModel)

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\+caspl)?$")]  # of data sets and methods

Precision = Literal["float32", "bfloat16"]

CASCADED = "+caspl"  # suffix of a method that is cascaded on boosting prompts


class Strict(BaseModel):
    """A frozen model that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneConfig(Strict):
    """One open_clip model."""

    model: str = Field(description="open_clip architecture, or miniature-student / miniature-teacher")
    pretrained: str = Field(
        description="open_clip tag, a weights file, 'miniature' (shipped), or 'random' (untrained); "
        "a file with OpenAI's weights needs the model's -quickgelu configuration"
    )


class Backbones(Strict):
    """The student that prompts are learned for, and the teacher that boosts it."""

    student: BackboneConfig
    teacher: BackboneConfig


class LookupConfig(Strict):
    """How features of random regions are computed and stored."""

    batch_size: int = Field(64, ge=1, description="regions that are encoded at a time")
    shard_images: int = Field(512, ge=1, description="images in one file of a lookup")
    parts: int = Field(1, ge=1, description="jobs that build one data set's teacher lookup side by side")
    parts_of: dict[Name, Annotated[int, Field(ge=1)]] = Field(
        {}, description="data set -> jobs, where it differs"
    )


class Regions(Strict):
    """How random regions of an image are drawn."""

    count: int = Field(20, ge=1, description="random regions of each training image")
    seed: int = Field(1, ge=0, description="seed of the regions' geometry")
    scale: tuple[float, float] = Field(
        (0.08, 1.0), description="least and greatest area of a region, as a share of the image's"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Regions":
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale {list(self.scale)} must be two shares, 0 < least <= greatest <= 1")
        return self


class RegionConfig(Regions):
    """How random regions are drawn and kept."""

    count: int | None = Field(
        None,
        ge=1,
        description="most random regions of an image; none: as many as a training has epochs, as published",
    )
    max_gb: float = Field(
        10.0,
        ge=0,
        description="disk that the stored regions of one data set may take; beyond it, and with 0, regions "
        "are cut from the image files at every use",
    )

    def for_epochs(self, epochs: int) -> Regions:
        """The regions that a training of so many epochs sees: at most one new one an epoch."""
        return Regions(count=min(epochs, self.count or epochs), seed=self.seed, scale=self.scale)


class BaseToNovel(Strict):
    """Train on few shots of the base classes; test base and novel classes apart."""

    shots: int = Field(16, ge=1)
    seeds: Annotated[list[Seed], Field(min_length=1)] = [1, 2, 3]


class Protocols(Strict):
    """The protocols to run."""

    base_to_novel: BaseToNovel = BaseToNovel()


class Jobs(Strict):
    """How the work is cut into processes."""

    seeds_per_job: int = Field(1, ge=1, description="seeds that one adapting or evaluation job takes")
    threads: int = Field(1, ge=1, description="CPU threads a job computes with; results depend on it")
    loader_workers: int = Field(0, ge=0, description="processes that decode images for one job")
    eval_batch_size: int = Field(100, ge=1, description="test images encoded at a time")


class Config(Strict):
    """One experiment: the content of config/config.yaml."""

    results: str = Field("results", description="folder of everything the workflow writes")
    data_root: str = Field("results/data", description="folder that holds the data sets' folders")
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    backbones: Backbones
    datasets: Annotated[list[Name], Field(min_length=1)]
    methods: Annotated[list[Name], Field(min_length=1)]
    protocols: Protocols = Protocols()
    precision: Precision = Field("float32", description="of the models' arithmetic; prompts stay float32")
    regions: RegionConfig = RegionConfig()
    lookup: LookupConfig = LookupConfig()
    overrides: dict[str, dict[str, Any]] = Field(
        {}, description="method name -> hyper-parameters that replace those of config/methods"
    )
    jobs: Jobs = Jobs()
    published: str | None = Field(
        None, description="CSV of published numbers to stand beside ours, for the same backbone"
    )
    note: str | None = Field(None, description="a sentence printed under every table")

    @model_validator(mode="after")
    def _no_repeats(self) -> "Config":
        seeds = self.protocols.base_to_novel.seeds
        for key, values in (("datasets", self.datasets), ("methods", self.methods), ("seeds", seeds)):
            repeated = sorted({str(value) for value in values if values.count(value) > 1})
            if repeated:
                raise ValueError(f"{key} lists {', '.join(repeated)} more than once")
        return self


class Source(Strict):
    """One file to download for a data set."""

    name: str = Field(description="file name under which the download is kept")
    url: str
    hash: str | None = Field(None, description="'sha256:...' or 'md5:...', where one is published")
    size: int | None = Field(None, description="bytes, where known")
    licence: str = "see the data set's page"
    extract_to: str | None = Field(
        None, description="folder, relative to data_root, to unpack into; none: the file is copied"
    )
    strip: int = Field(0, ge=0, description="leading path components dropped when unpacking")
    inner: str | None = Field(
        None, description="archive inside this one; it alone is unpacked, and `strip` counts in it"
    )


class DatasetConfig(Strict):
    """One data set: the content of config/datasets/NAME.yaml."""

    folder: str = Field(description="folder below data_root")
    images: str = Field("", description="folder of the images below `folder`")
    split: str = Field(description="split file below `folder`")
    split_format: Literal["zhou", "fgvc_aircraft", "imagenet"] = "zhou"
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


class MethodEntry(Strict):
    """One method: the content of config/methods/NAME.yaml."""

    title: str = Field(description="name in tables")
    source: str = Field(description="paper")
    learns: bool = Field(True, description="false: nothing is trained, the method is only evaluated")
    looks_up: Literal["plain", "cascade"] | None = Field(
        None,
        description="student's image features that nothing changes, and that are therefore computed once: "
        "without prompts (plain), or with the frozen prompts of the cascade",
    )
    hyperparameters: dict[str, Any] = Field({}, description="as published, base-to-novel")
    with_boosting: dict[str, Any] | None = Field(
        None, description="what differs when cascaded on boosting prompts; none: cannot be cascaded"
    )
    datasets: dict[str, dict[str, Any]] = Field({}, description="what differs on single data sets")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; UserError names the file if it is missing or malformed."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of keys to values.")
    return content


def validate(schema: type[Model], content: dict[str, Any], where: str) -> Model:
    """Check `content` against `schema`; UserError says every fault in one sentence, with its place."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        faults = [_fault(schema, fault) for fault in error.errors()]
        raise UserError(f"{where}: {'; '.join(faults)}.") from None


def _fault(schema: type[BaseModel], fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden":
        known = _keys_beside(schema, fault["loc"])
        return f"unknown key {place}{did_you_mean(str(fault['loc'][-1]), known)}"
    if fault["type"] == "missing":
        return f"missing key {place}"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}"


def _keys_beside(schema: type[BaseModel], location: tuple) -> list[str]:
    """The keys that the schema knows at the place of an unknown key."""
    for part in location[:-1]:
        field = schema.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type):
            return []
        schema = field.annotation
    return list(schema.model_fields)


def did_you_mean(name: str, known: list[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, else all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f" (did you mean {close[0]}?)"
    return f" (known: {', '.join(sorted(known))})" if known else ""


def split_method(method: str) -> tuple[str, bool]:
    """("coop", True) for "coop+caspl", ("coop", False) for "coop"."""
    return method.removesuffix(CASCADED), method.endswith(CASCADED)


def known_names(folder: Path) -> list[str]:
    """Names of the YAML files of a folder, without their ending."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_dataset(name: str, config_dir: Path) -> DatasetConfig:
    """Read config/datasets/NAME.yaml."""
    path = config_dir / "datasets" / f"{name}.yaml"
    if not path.is_file():
        hint = did_you_mean(name, known_names(path.parent))
        raise UserError(f"There is no data set {name!r}: {path} does not exist{hint}.")
    return validate(DatasetConfig, read_yaml(path), str(path))


def load_method(name: str, config_dir: Path) -> MethodEntry:
    """Read config/methods/NAME.yaml, for "coop" as well as for "coop+caspl"."""
    base_name, cascaded = split_method(name)
    path = config_dir / "methods" / f"{base_name}.yaml"
    if not path.is_file():
        hint = did_you_mean(base_name, known_names(path.parent))
        raise UserError(f"There is no method {name!r}: {path} does not exist{hint}.")
    entry = validate(MethodEntry, read_yaml(path), str(path))
    if cascaded and entry.with_boosting is None:
        raise UserError(
            f"{base_name} cannot be cascaded on boosting prompts: drop {CASCADED}, or say in {path} "
            "with the key with_boosting what differs then."
        )
    return entry


def method_title(name: str, config_dir: Path) -> str:
    """A method's name in tables: "CoOp", "CoOp + CasPL"."""
    cascaded = split_method(name)[1]
    return load_method(name, config_dir).title + (" + CasPL" if cascaded else "")


def hyperparameters(name: str, dataset: str, config: Config, config_dir: Path) -> dict[str, Any]:
    """A method's hyper-parameters on one data set.

    The published ones, then what differs with boosting, on this data set, and in the experiment.

    Raises UserError for an override that the method does not know.
    """
    entry = load_method(name, config_dir)
    extra = (entry.with_boosting or {}) if split_method(name)[1] else {}
    own = {**entry.hyperparameters, **extra, **entry.datasets.get(dataset, {})}
    for key in config.overrides.get(name, {}):
        if key not in own:
            raise UserError(
                f"overrides: {name} has no hyper-parameter {key!r}{did_you_mean(key, list(own))}."
            )
    return {**own, **config.overrides.get(name, {})}


def load(content: dict[str, Any], config_dir: Path) -> Config:
    """Check the content of a configuration file, and the data sets and methods that it names."""
    config = validate(Config, content, "configuration")
    if config.published and not Path(config.published).is_file():
        raise UserError(f"published: {config.published} does not exist.")
    for dataset in config.lookup.parts_of:
        load_dataset(dataset, config_dir)
    for dataset in config.datasets:
        load_dataset(dataset, config_dir)
        for method in [*config.methods, *config.overrides]:
            hyperparameters(method, dataset, config, config_dir)
    return config


def merged(*contents: dict[str, Any]) -> dict[str, Any]:
    """Mappings laid over one another, key by key and level by level; the later one wins."""
    result: dict[str, Any] = {}
    for content in contents:
        for key, value in content.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def digest(config: Config) -> str:
    """SHA-256 of a configuration, for footnotes."""
    return sha256_of_json(config.model_dump())
