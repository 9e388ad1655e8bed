"""What a table was made from: the record beside it that leads from its numbers to files."""

from pathlib import Path
from typing import Any

from ..artifacts import Inputs, Made, Sources, read_sealed, write_sealed
from ..config.schema import digest
from ..errors import UserError
from ..experiment import Experiment
from ..files import sha256
from ..provenance import commit, versions
from ..validation import Strict, validate
from .request import Request


class TableFile(Strict):
    """A CSV file of a table, by its name, and its SHA-256."""

    path: str
    sha256: str


class TableRecord(Strict):
    """The content of TABLE_record.json.

    `configuration` is the whole experiment's, with every default; `commit` and `versions` are those of the
    table's making.  `files` are the table's CSV files; `inputs` the files of metrics, "metrics/METHOD", and
    of published numbers.  `source` is the data set trained on, where others are tested.
    """

    table: str
    datasets: list[str]
    source: str | None
    methods: list[str]
    shots: list[int]
    seeds: list[int]
    config_sha256: str
    configuration: dict[str, Any]
    commit: str
    versions: dict[str, str]
    files: list[TableFile]
    made: Made | None = None
    inputs: Inputs


def record_path(table: Path) -> Path:
    """Where the record of a table lies, for its CSV file or its path without ending."""
    return table.with_name(f"{table.stem}_record.json")


def write_record(files: list[Path], request: Request, experiment: Experiment, sources: Sources) -> None:
    """Write the record of a finished table, made from `sources`, beside its CSV `files`, main one first."""
    record = TableRecord(
        table=request.table.name,
        datasets=list(request.datasets),
        source=request.source,
        methods=list(request.titles),
        shots=list(request.shots),
        seeds=list(request.seeds),
        config_sha256=digest(experiment.config),
        configuration=experiment.config.model_dump(mode="json"),
        commit=commit(),
        versions=versions(),
        files=[TableFile(path=file.name, sha256=sha256(file)) for file in files],
        **sources.header(),
    )
    write_sealed(record_path(files[0]), record.model_dump())


def read_record(table: Path, config_dir: Path) -> tuple[TableRecord, Experiment]:
    """The record of a table's CSV file, and the experiment of it.

    UserError if there is no record, or it does not fit this version and the entries in `config_dir`.
    """
    path = record_path(table)
    if not path.is_file():
        raise UserError(
            f"{path} does not exist, which says what {table.name} was made from: name the CSV file of a "
            "table, such as results/tables/base_to_novel.csv, and make the table again if it is an older one."
        )
    try:
        record = validate(TableRecord, read_sealed(path), "the record")
        return record, Experiment.checked(record.configuration, config_dir)
    except UserError as error:
        raise UserError(
            f"{path} cannot be used: {str(error).removesuffix('.')}. The table was made by another version "
            "of this program, or from other entries: make it again."
        ) from None
