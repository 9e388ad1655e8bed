"""How the cost of a step grows with classes, of a lookup with images, of an evaluation with test images.

Prints the exponent of each growth (1: linear), fitted on the doubled logarithmic scale without its
smallest size, where fixed costs weigh most; writes a CSV file and a plot.
Run: .venv/bin/python benchmarks/scaling.py  (about 4 minutes on two cores)
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import matplotlib as mpl
import numpy as np
import pandas as pd
import torch

from pictures import some_images
from promptdistill.artifacts import Roots, Sources
from promptdistill.clip.prompted import PromptedClip
from promptdistill.config.models import LookupConfig, Regions
from promptdistill.data.splits import Item
from promptdistill.evaluation.predict import EvaluationInputs, ImageSource, predict, restore_method
from promptdistill.features.lookup_build import Build, Encoder, build_student_lookup
from promptdistill.protocols.base import Subset
from ways import Case, Ours, backbone

mpl.use("Agg")

import matplotlib.pyplot as plt

CLASSES = (10, 30, 100, 300, 1000)
IMAGES = (8, 16, 32, 64)
OUTPUT = Path("results/benchmarks/scaling.csv")


def seconds(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def step(trainer: Ours, number: int) -> None:
    """Load a batch; compute its loss and gradients."""
    trainer.loss(trainer.load(number)).backward()


def steps(student: str, images: list[Path], folder: Path) -> Iterator[dict]:
    """A step of the methods whose cost is mostly text (CoOp) and mostly images (MaPLe)."""
    for method, batch in (("coop", 32), ("maple", 4)):
        for classes in CLASSES:
            case = Case(
                method=method,
                classes=classes,
                images=tuple(images[:batch]),
                steps=4,
                student=student,
                teacher="",
                device="cpu",
                threads=torch.get_num_threads(),
                precision="float32",
            )
            trainer = Ours(case, folder / method)

            costs = [seconds(partial(step, trainer, number)) for number in range(4)]
            cost = np.median(costs[1:])  # the first one warms up
            yield {"what": f"{method}: step", "size": classes, "unit": "classes", "seconds": cost}


def lookups(student: str, images: list[Path], folder: Path) -> Iterator[dict]:
    """Building a lookup of two regions an image."""
    encoder = Encoder(clip=PromptedClip(backbone(student, "cpu", "float32"), []))
    items = [Item(str(path), 0, "") for path in images]
    for count in (4, *IMAGES):  # the first one warms up
        build = Build(
            items=items[:count],
            image_folder=Path(),
            encoder=encoder,
            regions=Regions(count=2),
            config=LookupConfig(batch_size=16),
            folder=folder / f"lookup{count}",
        )
        cost = seconds(partial(build_student_lookup, build))
        if count in IMAGES:
            yield {"what": "lookup", "size": count, "unit": "images", "seconds": cost}


def evaluations(student: str, images: list[Path]) -> Iterator[dict]:
    """Testing zero-shot CLIP on ten classes."""
    names = [f"thing {number}" for number in range(10)]
    tested = EvaluationInputs(
        student=backbone(student, "cpu", "float32"),
        dataset="things",
        template="a photo of a {}.",
    )
    methods, _ = restore_method(tested, "zero_shot", {}, Sources(Roots(Path(), Path(), Path())))
    for count in IMAGES:
        items = [Item(str(path), n % 10, names[n % 10]) for n, path in enumerate(images[:count])]
        subsets = [Subset(name="all", class_names=names, items=items)]
        source = ImageSource(folder=Path(), items=items)
        test = partial(predict, [methods], subsets, source, batch_size=16, workers=0)
        cost = seconds(test)
        yield {"what": "evaluation", "size": count, "unit": "images", "seconds": cost}


def exponent(rows: pd.DataFrame) -> float:
    """Slope of log(seconds) over log(size), without the smallest size."""
    rows = rows.sort_values("size").iloc[1:]
    return float(np.polyfit(np.log(rows["size"]), np.log(rows["seconds"]), 1)[0])


def plot(table: pd.DataFrame, path: Path) -> None:
    """One panel for classes, one for images; a dotted line shows linear growth."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    for axis, (unit, rows) in zip(axes, table.groupby("unit"), strict=True):
        for what, own in rows.groupby("what"):
            line = axis.plot(own["size"], own["seconds"], marker="o", label=what)[0]
            linear = own["seconds"].iloc[-1] * own["size"] / own["size"].iloc[-1]
            axis.plot(own["size"], linear, ":", color=line.get_color())
        axis.set(xscale="log", yscale="log", xlabel=unit, ylabel="seconds")
        axis.set_xticks(sizes := sorted(rows["size"].unique()), [f"{size:,}" for size in sizes])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


@click.command()
@click.option("--student", default="ViT-B-16-quickgelu", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True)
def main(student: str, threads: int, output: Path) -> None:
    """Measure, fit and draw."""
    torch.set_num_threads(threads)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = some_images(max(IMAGES), folder)
        rows = [
            *steps(student, images, folder),
            *lookups(student, images, folder),
            *evaluations(student, images),
        ]
    table = pd.DataFrame(rows)
    table["exponent"] = table.groupby("what")["size"].transform(
        lambda sizes: exponent(table.loc[sizes.index])
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(output, index=False)
    plot(table, output.with_suffix(".png"))
    print(table.to_string(index=False, float_format="{:,.4g}".format))


if __name__ == "__main__":
    main()
