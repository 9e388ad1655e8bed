"""One experiment: `config/config.yaml`, or a file like it."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from ..errors import UserError
from ..files import sha256_of_json
from .entries import Training, load_method, split_method, split_variant
from .reading import Strict, did_you_mean

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]  # of data sets

MethodName = Annotated[str, Field(pattern=r"^[a-z0-9_]+(@[a-z0-9_]+)?(\+caspl)?$")]

Precision = Literal["float32", "bfloat16"]

FeatureType = Literal["float16", "float32"]


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
    dtype: FeatureType = Field(
        "float16", description="of a teacher's stored features; float32 is exact and takes twice the disk"
    )
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


class Protocol(Strict):
    """What every protocol has."""

    seeds: list[Seed] = Field([1, 2, 3], min_length=1)
    methods: list[MethodName] | None = Field(
        None, description="methods of this protocol; none: all of `methods` that can be applied to it"
    )
    overrides: dict[str, dict[str, Any]] = Field(
        {}, description="method name -> hyper-parameters that replace others in this protocol alone"
    )

    @model_validator(mode="after")
    def _no_repeats(self) -> "Protocol":
        _refuse_repeats(seeds=self.seeds, methods=self.methods or [])
        return self


class BaseToNovel(Protocol):
    """Train on few shots of the base classes; test base and novel classes apart."""

    shots: int = Field(16, ge=1)


class FewShot(Protocol):
    """Train on few shots of all classes; test all classes."""

    shots: list[Annotated[int, Field(ge=1)]] = Field([1, 2, 4, 8, 16], min_length=1)

    @model_validator(mode="after")
    def _no_repeated_shots(self) -> "FewShot":
        _refuse_repeats(shots=self.shots)
        return self


class Transfer(Protocol):
    """Train on few shots of all classes of one data set; test it and others, without further training."""

    source: Name = Field(description="data set to train on")
    shots: int = Field(16, ge=1)
    cross_dataset: list[Name] = Field([], description="other data sets to test")
    domain_generalization: list[Name] = Field([], description="shifted variants of the source to test")

    @model_validator(mode="after")
    def _targets(self) -> "Transfer":
        targets = [*self.cross_dataset, *self.domain_generalization]
        _refuse_repeats(targets=[self.source, *targets])
        if not targets:
            raise ValueError("name a target under cross_dataset or domain_generalization")
        return self


class Protocols(Strict):
    """The protocols to run; those that are left out, or null, are not run."""

    base_to_novel: BaseToNovel | None = None
    few_shot: FewShot | None = None
    transfer: Transfer | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_from_the_command_line(cls, content: Any) -> Any:
        """Snakemake gives nested values of --config as strings."""
        if not isinstance(content, dict):
            return content
        return {name: None if value == "null" else value for name, value in content.items()}

    @model_validator(mode="after")
    def _one_at_least(self) -> "Protocols":
        if not self.chosen():
            raise ValueError("name one of base_to_novel, few_shot, transfer")
        return self

    def chosen(self) -> dict[Training, Protocol]:
        """Those that are run, by name."""
        return {name: own for name in get_args(Training) if (own := getattr(self, name)) is not None}


def _refuse_repeats(**lists: list[Any]) -> None:
    for key, values in lists.items():
        repeated = sorted({str(value) for value in values if values.count(value) > 1})
        if repeated:
            raise ValueError(f"{key} lists {', '.join(repeated)} more than once")


class Jobs(Strict):
    """How the work is cut into processes."""

    runs_per_job: int = Field(
        1, ge=1, description="trainings (of one seed and number of shots) that one job takes, or tests"
    )
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
    methods: Annotated[list[MethodName], Field(min_length=1)]
    protocols: Protocols
    precision: Precision = Field("float32", description="of the models' arithmetic; prompts stay float32")
    regions: RegionConfig = RegionConfig()
    lookup: LookupConfig = LookupConfig()
    overrides: dict[str, dict[str, Any]] = Field(
        {}, description="method name -> hyper-parameters that replace those of config/methods"
    )
    ablation: list[MethodName] = Field(
        [], description="methods whose variants `snakemake ablation` compares, in base_to_novel"
    )
    jobs: Jobs = Jobs()
    published: str | None = Field(
        None, description="folder of published numbers, TABLE.csv, to stand beside ours of the same backbone"
    )
    note: str | None = Field(None, description="a sentence printed under every table")

    @model_validator(mode="after")
    def _no_repeats(self) -> "Config":
        _refuse_repeats(datasets=self.datasets, methods=self.methods, ablation=self.ablation)
        return self


def hyperparameters(
    name: str, dataset: str, config: Config, config_dir: Path, training: Training = "base_to_novel"
) -> dict[str, Any]:
    """A method's hyper-parameters on one data set in one protocol.

    The published ones of base-to-novel, then what differs with boosting, on this data set, in the protocol
    (in the same order), and in the experiment; a variant changes what all this makes of its method, and can
    be overridden by its own name.

    Raises UserError for an override that the method does not know.
    """
    entry = load_method(name, config_dir)
    boosted = split_method(name)[1]
    own: dict[str, Any] = {}
    for layer in (entry, entry.differences(training)):
        own |= layer.hyperparameters
        own |= (layer.with_boosting or {}) if boosted else {}
        own |= layer.datasets.get(dataset, {})
    usual, variant = split_variant(name)
    own |= _overrides(usual, own, config, training)
    if variant:
        own |= entry.variants[variant].hyperparameters
        own |= _overrides(name, own, config, training)
    return own


def _overrides(name: str, known: dict[str, Any], config: Config, training: Training) -> dict[str, Any]:
    """What the experiment, and then its protocol, sets again of a method's `known` hyper-parameters."""
    protocol = config.protocols.chosen().get(training)
    own: dict[str, Any] = {}
    for overrides in (config.overrides, protocol.overrides if protocol else {}):
        own |= overrides.get(name, {})
    for key in own:
        if key not in known:
            raise UserError(
                f"overrides: {name} has no hyper-parameter {key!r}{did_you_mean(key, list(known))}."
            )
    return own


def digest(config: Config) -> str:
    """SHA-256 of a configuration, for footnotes."""
    return sha256_of_json(config.model_dump())
