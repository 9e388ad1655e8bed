"""Seconds and memory of one training step: ours against the published way, on the same inputs.

Each way runs in a process of its own, so that its peak memory is its own; their steps alternate.
Before any step is timed, losses and gradients of both must agree to 1e-4.  Both models' encoding of an image,
which is what lookups and tests take, is timed too: `promptdistill plan --measured` reads the whole file.
Run: .venv/bin/python benchmarks/steps.py  (about 35 minutes on two cores; 500 classes need 20 GB)
"""

import multiprocessing
import os
import resource
import time
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import matplotlib as mpl
import numpy as np
import pandas as pd
import torch

from pictures import some_images
from promptdistill.clip.architecture import read_architecture
from promptdistill.clip.prompted import PromptedClip
from promptdistill.config.entries import load_method
from promptdistill.config.models import LookupConfig
from promptdistill.features.lookup_build import Encoder
from promptdistill.planning.flops import image_flops
from promptdistill.planning.work import ENCODE
from ways import CONFIG_DIR, PLAIN, WAYS, Case, Ours, Plain, backbone

mpl.use("Agg")

import matplotlib.pyplot as plt

METHODS = list(PLAIN)
PARTS = ("load", "forward", "backward", "update")
TOLERANCE = 1e-4  # relative, of losses and of gradients
BARS = {"plain": ("as published", "#b0b4bb"), "ours": ("ours", "#2a6fbb")}
OUTPUT = Path("results/benchmarks/steps.csv")


def work(way: str, case: Case, folder: Path, pipe: Connection) -> None:
    """The process of one way: set up, answer with loss and gradients, then time a step at each request."""
    torch.set_num_threads(case.threads)
    trainer = WAYS[way](case, folder)
    optimizer = torch.optim.SGD(trainer.learning.values(), lr=0.002, momentum=0.9, weight_decay=5e-4)
    cuda = trainer.student.device.type == "cuda"
    loss = trainer.loss(trainer.load(0))
    loss.backward()
    gradients = {name: tensor.grad.float().cpu().numpy() for name, tensor in trainer.learning.items()}
    pipe.send((float(loss.detach()), gradients))
    for step in iter(pipe.recv, None):
        pipe.send(timed_step(trainer, optimizer, step, cuda))
    pipe.send(peak_bytes(cuda))


def peak_bytes(cuda: bool) -> int:
    """The most memory that this process has taken, of the GPU where it computes on one."""
    # Linux counts ru_maxrss in kilobytes.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return torch.cuda.max_memory_allocated() if cuda else own


def timed_step(trainer: Ours | Plain, optimizer: torch.optim.Optimizer, step: int, cuda: bool) -> list[float]:
    """Seconds of each of PARTS of one step."""
    marks = [time.perf_counter()]

    def mark() -> None:
        if cuda:
            torch.cuda.synchronize()
        marks.append(time.perf_counter())

    batch = trainer.load(step)
    mark()
    loss = trainer.loss(batch)
    mark()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    mark()
    optimizer.step()
    mark()
    return np.diff(marks).tolist()


def require_agreement(case: Case, answers: dict[str, tuple[float, dict[str, np.ndarray]]]) -> float:
    """The greatest relative difference of loss and gradients; an error beyond the tolerance."""
    (loss, gradients), (expected, right) = answers["ours"], answers["plain"]
    differences = [abs(loss - expected) / abs(expected)]
    for name, gradient in right.items():
        differences.append(float(np.linalg.norm(gradients[name] - gradient) / np.linalg.norm(gradient)))
    worst = max(differences)
    tolerance = TOLERANCE if case.precision == "float32" else 0.1
    if not worst <= tolerance:
        raise click.ClickException(f"{case.method}, {case.classes} classes: the ways differ by {worst:.1e}.")
    return worst


def measure(case: Case, folder: Path) -> pd.DataFrame:
    """One row for each way: median seconds of a step and of its parts, and peak memory."""
    context = multiprocessing.get_context("spawn")
    before = context.Process(target=WAYS["ours"], args=(case, folder))  # so that steps alone use memory
    before.start()
    before.join()
    pipes, processes = {}, []
    for way in WAYS:
        pipes[way], theirs = context.Pipe()
        processes.append(context.Process(target=work, args=(way, case, folder, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
    worst = require_agreement(case, {way: pipe.recv() for way, pipe in pipes.items()})
    times: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for step in range(1, case.steps):
        for way, pipe in pipes.items():
            pipe.send(step)
            times[way].append(pipe.recv())
    rows = []
    machine = {key: getattr(case, key) for key in ("student", "device", "threads", "precision", "gflop")}
    for way, pipe in pipes.items():
        pipe.send(None)
        seconds = np.median(np.array(times[way]), axis=0)
        row = {"method": case.method, "classes": case.classes, "way": way, "batch": case.batch_size}
        row |= {"seconds": seconds.sum(), "images/s": case.batch_size / seconds.sum()}
        row |= machine
        row |= dict(zip(PARTS, seconds, strict=True)) | {"peak GB": pipe.recv() / 1e9, "difference": worst}
        rows.append(row)
    for process in processes:
        process.join()
    return pd.DataFrame(rows)


def encode(model: str, machine: dict, batches: int, pipe: Connection) -> None:
    """The process that encodes images: answers with the median seconds of an image, and peak memory.

    Images are encoded in batches of a lookup's usual size, from pixels in memory to features there.
    """
    torch.set_num_threads(machine["threads"])
    images = LookupConfig().batch_size
    encoder = Encoder(clip=PromptedClip(backbone(model, machine["device"], machine["precision"]), []))
    shape = (images, 3, *encoder.backbone.size)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    encoder.encode(pixels)  # a first time, which sets up what the others find
    seconds = []
    for _ in range(batches):
        start = time.perf_counter()
        encoder.encode(pixels)
        seconds.append(time.perf_counter() - start)
    pipe.send((float(np.median(seconds)) / images, peak_bytes(machine["device"] == "cuda")))


def measure_encoding(model: str, machine: dict, batches: int) -> pd.DataFrame:
    """One row, of one image through a model's image tower, as planning/measured.csv has them."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=encode, args=(model, machine, batches, theirs), daemon=True)
    process.start()
    theirs.close()
    seconds, peak = ours.recv()
    process.join()
    gflop = image_flops(read_architecture(model)).forward / 1e9
    row = {"method": ENCODE, "way": "ours", "batch": 1, "seconds": seconds, "images/s": 1 / seconds}
    return pd.DataFrame([row | {"student": model} | machine | {"gflop": gflop, "peak GB": peak / 1e9}])


def plot(table: pd.DataFrame, path: Path) -> None:
    """Seconds a step, both ways side by side on a logarithmic scale, with the ratio above."""
    table = table[table["method"] != ENCODE]
    counts = sorted(table["classes"].unique())
    figure, axes = plt.subplots(1, len(counts), figsize=(5.5 * len(counts), 4), sharey=True, squeeze=False)
    for axis, classes in zip(axes[0], counts, strict=True):
        rows = table[table["classes"] == classes]
        methods = list(dict.fromkeys(rows["method"]))
        for offset, (way, colour) in enumerate({"plain": "#b0b4bb", "ours": "#2a6fbb"}.items()):
            own = rows[rows["way"] == way]
            places = np.arange(len(methods)) + 0.4 * offset
            bars = axis.bar(
                places, own["seconds"], 0.38, color=colour, label={"plain": "as published"}.get(way, way)
            )
            if way == "ours":
                axis.bar_label(bars, [f"{ratio:.1f}x" for ratio in own["ratio"]], padding=2)
        axis.set(yscale="log", title=f"{classes} classes", xticks=np.arange(len(methods)) + 0.2)
        axis.set_xticklabels(methods)
        axis.grid(axis="y", alpha=0.3)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("seconds a step")
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


@click.command()
@click.option("--method", "methods", multiple=True, type=click.Choice(METHODS), default=METHODS)
@click.option("--classes", multiple=True, type=click.IntRange(2, 1000), default=[50, 500], show_default=True)
@click.option("--steps", type=click.IntRange(1), default=3, show_default=True, help="Timed steps.")
@click.option("--student", default="ViT-B-16-quickgelu", show_default=True)
@click.option("--teacher", default="ViT-L-14-quickgelu", show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True)
def main(methods: tuple[str, ...], classes: tuple[int, ...], steps: int, output: Path, **options) -> None:
    """Measure both ways for each method and number of classes, and encoding; write a CSV file and a plot."""
    tables = []
    with TemporaryDirectory() as scratch:
        images = some_images(32, Path(scratch))
        for count in classes:
            for method in methods:
                batch = load_method(method, CONFIG_DIR).hyperparameters["batch_size"]
                case = Case(
                    method=method, classes=count, images=tuple(images[:batch]), steps=steps + 1, **options
                )
                tables.append(measure(case, Path(scratch) / f"{method}_{count}"))
                print(tables[-1].to_string(index=False, float_format="{:,.4g}".format), flush=True)
    machine = {key: options[key] for key in ("device", "threads", "precision")}
    models = dict.fromkeys((options["student"], options["teacher"]))
    tables += [measure_encoding(model, machine, steps) for model in models]
    table = pd.concat(tables, ignore_index=True)
    table["classes"] = table["classes"].astype("Int64")
    keys = ["method", "classes"]
    table["ratio"] = table.groupby(keys)["seconds"].transform("first") / table["seconds"]
    output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(output, index=False)
    plot(table, output.with_suffix(".png"))
    print(table.to_string(index=False, float_format="{:,.4g}".format))


if __name__ == "__main__":
    main()
