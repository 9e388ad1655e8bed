"""What a table was made from: the record beside it that leads from its numbers to files."""

from pathlib import Path
from typing import Any, TypeVar

from ..config import Config, digest
from ..errors import UserError
from ..files import read_json, sha256, write_json
from ..provenance import commit, versions
from ..validation import Strict, validate
from .request import Request

Model = TypeVar("Model", bound=Strict)


class Recorded(Strict):
    """A file, and the SHA-256 of the bytes that it had."""

    path: str
    sha256: str


class MetricsFile(Recorded):
    """A file of metrics that went into a table, and the methods in it."""

    methods: list[str]


class Origin(Strict):
    """The content of TABLE_origin.json.

    `configuration` is the whole experiment's, with every default, as the version had it that made the table,
    None for one made without any; `config_sha256` its hash.  `commit` and `versions` are those of
    the table's making.  `files` are the table's CSV files, by their names; paths of `metrics` and `published`
    are as they were given, and so count from the folder that the table was made in.  `source` is the data set
    trained on, in tables of transfer.
    """

    kind: str
    datasets: list[str]
    source: str | None
    methods: list[str]
    shots: list[int]
    seeds: list[int]
    config_sha256: str
    configuration: dict[str, Any] | None
    commit: str
    versions: dict[str, str]
    files: list[Recorded]
    metrics: list[MetricsFile]
    published: Recorded | None


def origin_path(table: Path) -> Path:
    """Where the record of a table lies, for any of its files or its path without ending."""
    return table.with_name(f"{table.name.removesuffix('.csv')}_origin.json")


def write_origin(
    output: Path,
    request: Request,
    metrics: dict[Path, list[dict[str, Any]]],
    configuration: Config | None,
    *,
    endings: tuple[str, ...] = (".csv", "_seeds.csv", "_gains.csv"),
    published: Path | None = None,
) -> None:
    """Write the record of a finished table; `metrics` are its files and their rows, `endings` of its CSVs."""
    files = [output.with_name(output.name + ending) for ending in endings]
    record = Origin(
        kind=request.kind,
        datasets=list(request.datasets),
        source=request.source,
        methods=list(request.titles),
        shots=list(request.shots),
        seeds=list(request.seeds),
        config_sha256=digest(configuration) if configuration else "",
        configuration=configuration.model_dump(mode="json") if configuration else None,
        commit=commit(),
        versions=versions(),
        files=[Recorded(path=file.name, sha256=sha256(file)) for file in files],
        metrics=[
            MetricsFile(path=str(file), sha256=sha256(file), methods=sorted({row["method"] for row in rows}))
            for file, rows in metrics.items()
        ],
        published=Recorded(path=str(published), sha256=sha256(published)) if published else None,
    )
    write_json(origin_path(output), record.model_dump())


def read_origin(table: Path) -> Origin:
    """The record of a table's CSV file; UserError if there is none, or it is none of this version."""
    path = origin_path(table)
    if not path.is_file():
        raise UserError(
            f"{path} does not exist, which says what {table.name} was made from: name the CSV file of a "
            "table, such as results/tables/base_to_novel.csv, and make the table again if it is an older one."
        )
    return _of_this_version(Origin, read_json(path), str(path))


def read_configuration(origin: Origin, table: Path) -> Config:
    """The configuration of a table; UserError if none is recorded, or it is none of this version."""
    path = origin_path(table)
    if origin.configuration is None:
        raise UserError(
            f"{path} holds no configuration, which says where files lie: let the workflow make the table, or "
            "make it with --configuration."
        )
    return _of_this_version(Config, origin.configuration, f"{path}: configuration")


def _of_this_version(schema: type[Model], content: Any, where: str) -> Model:
    try:
        return validate(schema, content, where)
    except UserError as error:
        raise UserError(
            f"{str(error).removesuffix('.')}: the table was made by another version of this program, so make "
            "the table again."
        ) from None
