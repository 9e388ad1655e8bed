"""The schema of one experiment: `config/config.yaml`, or a file like it."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from ..files import sha256_of_json
from ..protocols import PROTOCOLS
from ..protocols.base import ProtocolSettings, refuse_repeats
from ..run import DatasetName, MethodName
from ..validation import Folder, Strict
from .models import BackboneConfig, LookupConfig, Precision, Regions


class Backbones(Strict):
    """The student that prompts are learned for, and the teacher that boosts it."""

    student: BackboneConfig
    teacher: BackboneConfig


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


class _Protocols(Strict):
    """The protocols to run; those that are left out, or null, are not run."""

    @model_validator(mode="before")
    @classmethod
    def _null_from_the_command_line(cls, content: Any) -> Any:
        """Snakemake gives nested values of --config as strings."""
        if not isinstance(content, dict):
            return content
        return {name: None if value == "null" else value for name, value in content.items()}

    @model_validator(mode="after")
    def _one_at_least(self) -> "_Protocols":
        if not self.chosen():
            raise ValueError(f"name one of {', '.join(PROTOCOLS)}")
        return self

    def chosen(self) -> dict[str, ProtocolSettings]:
        """Those that are run, by name."""
        return {name: own for name in PROTOCOLS if (own := getattr(self, name)) is not None}


Protocols = create_model(
    "Protocols",
    __base__=_Protocols,
    __doc__=_Protocols.__doc__,
    **{
        name: (protocol.Settings | None, Field(None, description=protocol.about))
        for name, protocol in PROTOCOLS.items()
    },
)


class Jobs(Strict):
    """How the work is cut into processes."""

    runs_per_job: int = Field(
        1, ge=1, description="trainings (of one seed and number of shots) that one job takes, or tests"
    )
    threads: int = Field(1, ge=1, description="CPU threads a job computes with; results depend on it")
    loader_workers: int = Field(0, ge=0, description="processes that decode images for one job")
    eval_batch_size: int = Field(100, ge=1, description="test images encoded at a time")


def _of_its_own(folder: str) -> str:
    """ValueError for a folder that cannot be one of results; none of Snakemake's patterns can hold braces."""
    if Path(os.path.normpath(Path(folder).absolute())) in (Path.cwd(), *Path.cwd().parents):
        raise ValueError(f"{folder!r} holds the project itself: name a folder of its own, such as results")
    if "{" in folder or "}" in folder:
        raise ValueError(f"{folder!r} has a brace, which the workflow reads as a wildcard: name it otherwise")
    return folder


Results = Annotated[Folder, AfterValidator(_of_its_own)]


class Config(Strict):
    """One experiment: the content of config/config.yaml."""

    results: Results = Field("results", description="folder of everything the workflow writes")
    data_root: Folder = Field("results/data", description="folder that holds the data sets' folders")
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    backbones: Backbones
    datasets: Annotated[list[DatasetName], Field(min_length=1)]
    methods: Annotated[list[MethodName], Field(min_length=1)]
    protocols: Protocols
    precision: Precision = Field("float32", description="of the models' arithmetic; prompts stay float32")
    regions: RegionConfig = RegionConfig()
    lookup: LookupConfig = LookupConfig()
    overrides: dict[MethodName, dict[str, Any]] = Field(
        {},
        description="method name -> hyper-parameters that replace those of config/methods; those of coop "
        "hold for coop+caspl and coop+fdbpl, too, where these do not replace them themselves",
    )
    ablation: list[MethodName] = Field(
        [], description="methods whose variants `snakemake ablation` compares, in base_to_novel"
    )
    jobs: Jobs = Jobs()
    strict: bool = Field(
        False,
        description="whether what is otherwise a warning about a data set is an error: one image in two "
        "parts, twice or under two labels, classes without images or with one name",
    )
    published: Folder | None = Field(
        None, description="folder of published numbers, TABLE.csv, to stand beside ours of the same backbone"
    )
    note: str | None = Field(None, description="a sentence printed under every table")

    @model_validator(mode="after")
    def _no_repeats(self) -> "Config":
        refuse_repeats(datasets=self.datasets, methods=self.methods, ablation=self.ablation)
        return self


def digest(config: Config) -> str:
    """SHA-256 of a configuration, for footnotes."""
    return sha256_of_json(config.model_dump(exclude_none=True))
