"""FDBPL with its teacher online and looked up: seconds, CPU seconds and losses of equal steps.

Four ways train the same prompt on the same regions: as published and ours, each with the teacher run at
every step and looked up.  Their steps alternate; at each, all losses must agree to 1e-4.  What is computed
once before training (the teacher's and the student's features, stored regions) stands in columns of its own,
as its share of a step where it serves 1, 3 or 9 trainings.
Run: .venv/bin/python benchmarks/training_time.py  (4 minutes on two cores; --teacher and --classes add cases)
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import pandas as pd
import torch
from torch import Tensor

from pictures import some_images
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.templates import template_features
from promptdistill.data.images import normalise
from ways import TEMPLATE, Case, Ours, Plain, backbone, teacher_lookup

TOLERANCE = 1e-4  # relative, of losses
LEARNING_RATE = 1e-5  # of the first epoch; random weights would not stand a higher one
METHODS = ("coop+fdbpl", "maple+fdbpl", "promptsrc+fdbpl")
TEACHERS = ("ViT-L-14-quickgelu",)
OUTPUT = Path("results/benchmarks/training_time.csv")


class OursOnline(Ours):
    """Ours, with the teacher run on the step's regions."""

    def __init__(self, case: Case, folder: Path) -> None:
        super().__init__(case, folder)
        self.teacher = PromptedClip(backbone(case.teacher, case.device, case.precision), [])
        self.text = template_features(self.teacher, TEMPLATE, case.class_names)
        self.method.objective.context = replace(self.method.context, teacher=self)

    @torch.no_grad()
    def logits(self, images: Tensor, regions: Tensor, scale: Tensor) -> Tensor:
        """The teacher's logits (B, classes), as `RegionLookup.logits` gives them."""
        picks = zip(images.tolist(), regions.tolist(), strict=True)
        pixels = torch.cat([self.dataset.crops(image, [region])[0] for image, region in picks])
        teacher = self.teacher.backbone
        prepared = normalise(pixels.to(teacher.device), teacher.mean, teacher.std)
        return scale * self.teacher.image_features(prepared) @ self.text.T


class PlainLookedUp(Plain):
    """As published, with the teacher's image features looked up."""

    def __init__(self, case: Case, folder: Path) -> None:
        super().__init__(case, folder)
        self.lookup = teacher_lookup(case, folder)
        self.method.teacher = self  # asked for its image features alone

    def load(self, step: int) -> tuple[Tensor, Tensor]:
        """Pixels and labels of one step; which regions they are is kept for the teacher."""
        self.picks = torch.tensor(self.case.picks(step))
        return super().load(step)

    def encode_image(self, pixels: Tensor, *, normalize: bool) -> Tensor:
        """The teacher's normalised features (B, D) of the step's regions."""
        images, regions = self.picks.unbind(dim=1)
        return self.lookup.features(images.contiguous(), regions).to(pixels.device)


WAYS: dict[tuple[str, str], Callable[[Case, Path], Ours | Plain]] = {
    ("as published", "online"): Plain,
    ("as published", "looked up"): PlainLookedUp,
    ("ours", "online"): OursOnline,
    ("ours", "looked up"): Ours,
}
OURS = ("ours", "looked up")
TRAININGS = (1, 3, 9)  # that a lookup serves


def measure(case: Case, folder: Path) -> pd.DataFrame:
    """One row for each way: seconds and CPU seconds of a step; the first one warms up."""
    case.start()  # loads the student
    before = clocks(case.device)
    teacher_lookup(case, folder)
    once = {"as published": clocks(case.device) - before}
    trainers = {way: make(case, folder) for way, make in WAYS.items() if way != OURS}
    before = clocks(case.device)
    trainers[OURS] = Ours(case, folder)
    once["ours"] = once["as published"] + clocks(case.device) - before
    optimizers = {
        way: torch.optim.SGD(trainer.learning.values(), lr=LEARNING_RATE, momentum=0.9)
        for way, trainer in trainers.items()
    }
    spent = {way: torch.zeros(2, dtype=torch.float64) for way in WAYS}
    worst = 0.0
    for step in range(case.steps):
        losses = {}
        for way, trainer in trainers.items():
            before = clocks(case.device)
            loss = trainer.loss(trainer.load(step))
            optimizers[way].zero_grad(set_to_none=True)
            loss.backward()
            optimizers[way].step()
            spent[way] += (clocks(case.device) - before) * (step > 0)
            losses[way] = float(loss.detach())
        first, *others = losses.values()
        worst = max(worst, *(abs(other - first) / abs(first) for other in others))
        if worst > TOLERANCE:
            raise click.ClickException(f"{case.method}: losses of step {step} differ: {losses}.")
    return pd.DataFrame(_row(case, way, spent[way], once[way[0]], worst) for way in WAYS)


def _row(case: Case, way: tuple[str, str], spent: Tensor, once: Tensor, worst: float) -> dict[str, Any]:
    """One row of the table; `once` was spent on what all steps look up."""
    seconds, cpu = (spent / (case.steps - 1)).tolist()
    share = float(once[0]) / case.steps if way[1] == "looked up" else 0.0
    return {
        "method": case.method,
        "teacher model": case.teacher,
        "classes": case.classes,
        "arithmetic": way[0],
        "teacher": way[1],
        "seconds a step": seconds,
        "cpu seconds": cpu,
        **{f"with lookup / {trainings}": seconds + share / trainings for trainings in TRAININGS},
        "greatest difference of losses": worst,
    }


def clocks(device: str) -> Tensor:
    """Seconds now, and those that all of this process's threads have computed."""
    if device == "cuda":
        torch.cuda.synchronize()
    return torch.tensor([time.perf_counter(), time.process_time()], dtype=torch.float64)


@click.command()
@click.option("--method", "methods", multiple=True, default=METHODS, show_default=True)
@click.option("--classes", multiple=True, type=click.IntRange(2, 1000), default=[50], show_default=True)
@click.option("--steps", type=click.IntRange(1), default=1, show_default=True, help="Timed steps.")
@click.option("--student", default="ViT-B-32-quickgelu", show_default=True)
@click.option("--teacher", "teachers", multiple=True, default=TEACHERS, show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True)
def main(
    methods: tuple[str, ...],
    classes: tuple[int, ...],
    teachers: tuple[str, ...],
    steps: int,
    output: Path,
    **machine: Any,
) -> None:
    """Train methods with FDBPL in four ways; write a CSV file."""
    torch.set_num_threads(machine["threads"])
    tables: list[pd.DataFrame] = []
    for teacher, count, method in product(teachers, classes, methods):
        case = Case(
            method=method,
            teacher=teacher,
            classes=count,
            images=(),
            steps=steps + 1,
            precision="float32",
            **machine,
        )
        with TemporaryDirectory() as scratch:
            images = tuple(some_images(case.batch_size, Path(scratch)))
            tables.append(measure(replace(case, images=images), Path(scratch)))
        table = pd.concat(tables, ignore_index=True)
        same = ["method", "teacher model", "classes"]
        for column in [name for name in table if name.startswith(("seconds", "with"))]:
            published = table.groupby(same)["seconds a step"].transform("first")
            table[f"ratio, {column}"] = published / table[column]
        output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(output, index=False)
        print(tables[-1].to_string(index=False, float_format="{:,.4g}".format), flush=True)


if __name__ == "__main__":
    main()
