"""FDBPL with its teacher online and looked up: seconds, CPU seconds and losses of equal steps.

Four ways train the same prompt on the same regions: as published and ours, each with the teacher run at
every step and looked up.  Their steps alternate; at each, all losses must agree to 1e-4.
Run: .venv/bin/python benchmarks/training_time.py  (about 3 minutes on two cores)
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pandas as pd
import torch
from torch import Tensor

from pictures import some_images
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.templates import template_features
from promptdistill.config.entries import load_method
from promptdistill.data.images import normalise
from promptdistill.features.lookup import RegionLookup
from ways import CONFIG_DIR, TEMPLATE, Case, Ours, Plain, backbone, teacher_lookup

TOLERANCE = 1e-4  # relative, of losses
PARTS = ("label", "positive", "negative", "difference", "intra", "inter")
AS_PLAIN = {"temperature": 1.0, **{f"{part}_weight": 1.0 for part in PARTS}}  # as the plain form has them
LEARNING_RATE = 1e-5  # of the first epoch; random weights would not stand a higher one
OUTPUT = Path("results/benchmarks/training_time.csv")


class OursOnline(Ours):
    """Ours, with the teacher run on the step's regions."""

    def __init__(self, case: Case, folder: Path) -> None:
        super().__init__(case, folder)
        self.teacher = PromptedClip(backbone(case.teacher, case.device, case.precision), [])
        self.text = template_features(self.teacher, TEMPLATE, case.class_names)
        self.method.context = replace(self.method.context, teacher=self)

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
        self.method.teacher = self

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


def median_top_probability(lookup: RegionLookup) -> float:
    """A threshold between the middle two regions, so that rounding decides nothing; one for all ways."""
    logits = lookup.logits(*lookup.every_region(), torch.tensor(100.0))
    return float(logits.softmax(dim=1).max(dim=1).values.quantile(0.5))


def measure(case: Case, folder: Path) -> pd.DataFrame:
    """One row for each way: seconds and CPU seconds of all steps but the first, which warms up."""
    trainers = {way: make(case, folder) for way, make in WAYS.items()}
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
            raise click.ClickException(f"{case.classes} classes: losses of step {step} differ: {losses}.")
    return pd.DataFrame(
        {
            "classes": case.classes,
            "arithmetic": arithmetic,
            "teacher": teacher,
            "steps": case.steps - 1,
            "seconds": float(spent[arithmetic, teacher][0]),
            "cpu seconds": float(spent[arithmetic, teacher][1]),
            "greatest difference of losses": worst,
        }
        for arithmetic, teacher in WAYS
    )


def clocks(device: str) -> Tensor:
    """Seconds now, and those that all of this process's threads have computed."""
    if device == "cuda":
        torch.cuda.synchronize()
    return torch.tensor([time.perf_counter(), time.process_time()], dtype=torch.float64)


@click.command()
@click.option("--classes", multiple=True, type=click.IntRange(2, 1000), default=[50], show_default=True)
@click.option("--steps", type=click.IntRange(1), default=2, show_default=True, help="Timed steps.")
@click.option("--student", default="ViT-B-16-quickgelu", show_default=True)
@click.option("--teacher", default="ViT-L-14-quickgelu", show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True)
def main(classes: tuple[int, ...], steps: int, threads: int, output: Path, **options: str) -> None:
    """Train FDBPL in four ways; write a CSV file."""
    torch.set_num_threads(threads)
    batch = load_method("fdbpl", CONFIG_DIR).hyperparameters["batch_size"]
    tables = []
    with TemporaryDirectory() as scratch:
        images = tuple(some_images(2 * batch, Path(scratch)))
        for count in classes:
            case = {"method": "fdbpl", "classes": count, "images": images, "steps": steps + 1} | options
            case |= {"threads": threads, "precision": "float32"}
            folder = Path(scratch) / str(count)
            lookup = teacher_lookup(Case(**case), folder)
            threshold = median_top_probability(lookup)
            settings = {**AS_PLAIN, "threshold": threshold}
            tables.append(measure(Case(**case, overrides=settings), folder))
    table = pd.concat(tables, ignore_index=True)
    table["ratio"] = table.groupby("classes")["seconds"].transform("first") / table["seconds"]
    output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(output, index=False)
    print(table.to_string(index=False, float_format="{:,.4g}".format))


if __name__ == "__main__":
    main()
