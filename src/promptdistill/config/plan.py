"""What an experiment runs: tables, their rows and data sets, trainings; and whether it fits together."""

from pathlib import Path
from typing import Any

from ..errors import UserError
from .entries import (
    Table,
    Training,
    family,
    load_dataset,
    load_method,
    split_variant,
    tables_of,
    variants_of,
)
from .experiment import Config, Protocol, hyperparameters
from .reading import validate


def load(content: dict[str, Any], config_dir: Path) -> Config:
    """Check the content of a configuration file, and the data sets and methods that it names."""
    config = validate(Config, content, "configuration")
    if config.published and not Path(config.published).is_dir():
        raise UserError(f"published: there is no folder {config.published}.")
    for dataset in [*config.datasets, *config.lookup.parts_of, *_transfer_datasets(config)]:
        load_dataset(dataset, config_dir)
    _check_methods(config.methods, tables(config), config_dir)
    for training, protocol in config.protocols.chosen().items():
        named = (*config.methods, *(protocol.methods or []), *config.overrides, *protocol.overrides)
        for dataset in config.datasets:
            for method in named:
                hyperparameters(method, dataset, config, config_dir, training)
        _check_tables(training, config, config_dir)
        _check_boosting(training, protocol)
    for method in config.ablation:
        if split_variant(method)[1]:
            raise UserError(f"ablation: {method} is a variant: name the method itself, {family(method)}.")
        if not variants_of(method, config_dir):
            raise UserError(f"ablation: {method} has no variants: list some in its entry, or drop it.")
    return config


def _transfer_datasets(config: Config) -> list[str]:
    transfer = config.protocols.transfer
    return [transfer.source, *transfer.cross_dataset, *transfer.domain_generalization] if transfer else []


def _check_tables(training: Training, config: Config, config_dir: Path) -> None:
    """UserError for a protocol's own method that fits none of its tables, and for a table without methods."""
    made = [table for table in tables_of(training) if table in tables(config)]
    _check_methods(config.protocols.chosen()[training].methods or [], made, config_dir)
    for table in made:
        if not methods_of(table, config, config_dir):
            raise UserError(
                f"methods: none of them can be applied to {table}: add one, or drop {table} from the "
                "protocols."
            )


def _check_methods(methods: list[str], made: list[Table], config_dir: Path) -> None:
    """UserError for a method that cannot be applied to any of the tables that are made."""
    for method in methods:
        possible = load_method(method, config_dir).applies_to
        if not set(made) & set(possible):
            raise UserError(
                f"methods: {method} cannot be applied to {' or '.join(made)}, but to "
                f"{' and '.join(possible) or 'no table'}: drop it."
            )


def _check_boosting(training: Training, protocol: Protocol) -> None:
    """UserError for a boosting prompt of one protocol's own, where all protocols of a data set share one."""
    if training != "transfer" and "boosting" in protocol.overrides:
        raise UserError(
            f"protocols.{training}.overrides: base_to_novel and few_shot share a data set's boosting prompt; "
            "move boosting to the overrides of the whole experiment."
        )


def runs(config: Config, training: Training) -> list[tuple[int, int]]:
    """The (shots, seed) of every training of one method on one data set, seed by seed."""
    protocol = config.protocols.chosen()[training]
    shots = protocol.shots if isinstance(protocol.shots, list) else [protocol.shots]
    return [(k, seed) for seed in protocol.seeds for k in shots]


def batches(config: Config) -> list[tuple[Training, int, list[tuple[int, int]]]]:
    """The runs of every protocol, cut into jobs: protocol, number of the job, and its (shots, seed)."""
    size = config.jobs.runs_per_job
    return [
        (training, number, own[start : start + size])
        for training in config.protocols.chosen()
        for own in [runs(config, training)]
        for number, start in enumerate(range(0, len(own), size))
    ]


def tables(config: Config) -> list[Table]:
    """The tables that the experiment makes."""
    return [
        table
        for training in config.protocols.chosen()
        for table in tables_of(training)
        if tested(table, config)
    ]


def training_of(table: Table) -> Training:
    """The protocol whose metrics a table shows."""
    return "transfer" if table in tables_of("transfer") else table


def tested(table: Table, config: Config) -> list[str]:
    """The data sets whose test images a table shows, without the source."""
    transfer = config.protocols.transfer
    return getattr(transfer, table) if training_of(table) == "transfer" else config.datasets


def methods_of(table: Table, config: Config, config_dir: Path) -> list[str]:
    """The rows of a table: what the protocol, or else the experiment, asks for and what can be applied."""
    protocol = config.protocols.chosen()[training_of(table)]
    asked = config.methods if protocol.methods is None else protocol.methods
    return [method for method in asked if table in load_method(method, config_dir).applies_to]


def ablations(config: Config, config_dir: Path) -> dict[str, list[str]]:
    """The methods whose variants are compared, and those variants; none without base_to_novel."""
    compared = config.ablation if config.protocols.base_to_novel else []
    return {method: list(variants_of(method, config_dir)) for method in compared}


def evaluated(training: Training, method: str, config: Config, config_dir: Path) -> list[str]:
    """The data sets that a protocol tests a method on.

    A method that learns from a teacher is trained on each target itself, so it is not tested on the source.
    """
    tables_with = [
        table
        for table in tables_of(training)
        if table in tables(config) and method in _tested_for(table, config, config_dir)
    ]
    own = load_method(method, config_dir).learns_from == "teacher"
    source = [config.protocols.transfer.source] if training == "transfer" and not own else []
    return [*source, *(dataset for table in tables_with for dataset in tested(table, config))]


def _tested_for(table: Table, config: Config, config_dir: Path) -> list[str]:
    """The methods that a table shows, or an ablation, which shares the metrics of base_to_novel."""
    compared = ablations(config, config_dir) if table == "base_to_novel" else {}
    return [
        *methods_of(table, config, config_dir),
        *(name for method, variants in compared.items() for name in (method, *variants)),
    ]
