"""Metrics as tests need them: one dict a run, and requests for tables of them."""

from promptdistill.protocols import TABLES, protocol_of
from promptdistill.report.request import Request
from promptdistill.run import RunKey

TITLES = {"zero_shot": "CLIP", "coop": "CoOp", "coop+caspl": "CoOp + CasPL"}
BOTH = "images and class names"


def run(dataset, method, seed, *, protocol, shots=16, source=None, transductive=None, **others):
    """One run; a seed of None is a method that learns nothing."""
    learns = seed is not None
    shots = shots if learns else 0
    return {
        "key": str(RunKey(protocol, dataset, method, shots, seed)),
        "protocol": protocol,
        "dataset": dataset,
        "source": (source or dataset) if learns else None,
        "method": method,
        "shots": shots,
        "seed": seed,
        "unlabelled": False,
        "transductive": transductive,
        "student": "ViT-B-16:openai",
        "student_sha256": "a" * 64,
        "images": 10,
        "predictions": f"predictions/{protocol}/{dataset}/{method}/{shots}/{seed}.parquet",
        **others,
    }


def halves(dataset, method, seed, base, novel, **others):
    """A run of the base-to-novel protocol."""
    metrics = {"base": base, "novel": novel, "hm": 2 * base * novel / (base + novel)}
    return run(dataset, method, seed, protocol="base_to_novel", **metrics, **others)


def few(dataset, method, shots, seed, accuracy, **others):
    """A run of the few-shot protocol."""
    return run(dataset, method, seed, protocol="few_shot", shots=shots, accuracy=accuracy, **others)


def transfer(dataset, method, seed, accuracy, source="s", **others):
    """A run of the transfer protocol, trained on data set s."""
    return run(dataset, method, seed, protocol="transfer", source=source, accuracy=accuracy, **others)


def ask(
    table="base_to_novel", datasets=("a", "b"), *, shots=(16,), seeds=(1, 2, 3), titles=TITLES, source=None
):
    """A request; tables of transfer are from data set s."""
    protocol = protocol_of(table)
    if protocol.name == "transfer":
        source = source or "s"
    return Request(
        protocol=protocol.name,
        table=TABLES[table],
        metrics=tuple(protocol.metrics(protocol.Settings.model_construct())),
        datasets=datasets,
        titles=titles,
        shots=shots,
        seeds=seeds,
        source=source,
    )


HALVES = [
    halves("a", "zero_shot", None, 60, 40),
    halves("b", "zero_shot", None, 80, 60),
    *[halves("a", "coop", seed, 70 + seed, 50) for seed in (1, 2, 3)],
    *[halves("b", "coop", seed, 90, 60 + seed) for seed in (1, 2, 3)],
    *[halves("a", "coop+caspl", seed, 80, 60, transductive=BOTH) for seed in (1, 2, 3)],
    *[halves("b", "coop+caspl", seed, 90, 70, transductive=BOTH) for seed in (1, 2)],
]
FEW = [
    few("a", "zero_shot", 0, None, 50),
    few("b", "zero_shot", 0, None, 60),
    *[
        few(name, "coop", shots, seed, 60 + shots + seed)
        for name in "ab"
        for shots in (1, 4)
        for seed in (1, 2)
    ],
    *[few(name, "coop+caspl", 4, seed, 70 + seed, transductive=BOTH) for name in "ab" for seed in (1, 2)],
]
TRANSFER = [
    *[transfer("s", "coop", seed, 90 + seed) for seed in (1, 2, 3)],
    *[
        transfer(name, "coop", seed, level + seed)
        for name, level in (("a", 60), ("b", 40))
        for seed in (1, 2, 3)
    ],
    *[transfer("s", "coop+caspl", seed, 95, transductive=BOTH) for seed in (1, 2, 3)],
    *[transfer("a", "coop+caspl", seed, 66, transductive="class names") for seed in (1, 2, 3)],
    *[transfer("b", "coop+caspl", seed, 41) for seed in (1, 2, 3)],
    transfer("a", "zero_shot", None, 55),
]
EVERY_TABLE = [
    (HALVES, ask()),
    (FEW, ask("few_shot", shots=(1, 4), seeds=(1, 2))),
    (TRANSFER, ask("cross_dataset")),
    (TRANSFER, ask("domain_generalization")),
]
