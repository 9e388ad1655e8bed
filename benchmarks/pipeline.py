"""The whole pipeline of one data set, ours against the published way: a thousandth of the real schedule.

Caltech101 (100 classes, 4,128 training and 2,465 test images): boosting prompts for 20 epochs, then
CoOp, CoCoOp, MaPLe and PromptSRC, plain and cascaded, three seeds each, and testing.  Each stage shows as
many images, divided by a thousand, as the published schedule does; lookups and stored regions are
built within the measured time, and CoOp, CoCoOp and PromptSRC share image features.  Both ways see the
same regions, and their prompts must agree at the end.
Run: .venv/bin/python benchmarks/pipeline.py  (about 11 minutes on two cores)
"""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pandas as pd
import torch

from pictures import some_images
from promptdistill.clip.backbone import Backbone
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.prompts import DeepPrompt
from promptdistill.run import is_cascaded
from ways import WAYS, Case, backbone, frozen_text

CLASSES, BASE = 100, 50
# Steps: a thousandth of 4,128 images x 20 epochs / 4, and of 800 images x epochs / batch size.
BOOSTING_IMAGES, BOOSTING_STEPS = 4, 20
STEPS = {"coop": 1, "cocoop": 8, "maple": 1, "promptsrc": 4}
SEEDS = 3
TESTED = 3  # test images for each prompt, and for each of the two zero-shot rows
LR = 0.0025
# Of finished prompts; those that follow from the teacher differ more: its features have half precision.
TOLERANCES = {False: 1e-4, True: 1e-3}
OUTPUT = Path("results/benchmarks/pipeline.csv")

Prompts = dict[tuple[str, int], dict[str, torch.Tensor]]


def train(way: str, case: Case, folder: Path) -> tuple[dict[str, torch.Tensor], float, float]:
    """A finished prompt, seconds of what comes before the first step, and of all steps."""
    start = time.perf_counter()
    trainer = WAYS[way](case, folder)
    ready = time.perf_counter()
    optimizer = torch.optim.SGD(trainer.learning.values(), lr=LR, momentum=0.9, weight_decay=5e-4)
    for step in range(case.steps):
        loss = trainer.loss(trainer.load(step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    done = time.perf_counter()
    prompt = {name: tensor.detach().clone() for name, tensor in trainer.learning.items()}
    return prompt, ready - start, done - ready


def run(way: str, boosting: Case, adapting: Case, seeds: list[list[Path]], scratch: Path) -> Iterator[tuple]:
    """All trainings of one way: method, seed, finished prompt, and the two times."""
    prompt, before, steps = train(way, boosting, scratch / "boosting")
    yield "boosting", 1, prompt, before, steps
    frozen = deep_prompt(prompt)
    for seed, images in enumerate(seeds, start=1):
        for cascaded in (False, True):
            for method, count in STEPS.items():
                case = replace(
                    adapting,
                    method=method,
                    steps=count,
                    images=tuple(images),
                    boosting=frozen if cascaded else None,
                )
                name = method + ("+caspl" if cascaded else "")
                yield name, seed, *train(way, case, scratch / f"seed{seed}")


def deep_prompt(tensors: dict[str, torch.Tensor]) -> DeepPrompt:
    """The frozen prompt with these tokens."""
    layers = range(len(tensors) // 2)
    text, vision = ([tensors[f"{tower}.{layer}"] for layer in layers] for tower in ("text", "vision"))
    return DeepPrompt(text, vision).requires_grad_(False)


@torch.no_grad()
def test_seconds(student: Backbone, encodings: int) -> float:
    """Seconds to encode the test images so often; text features are computed once and not counted."""
    clip = PromptedClip(student, [])
    pixels = torch.randn(TESTED, 3, *student.size)
    start = time.perf_counter()
    for _ in range(encodings):
        clip.image_features(pixels)
    return time.perf_counter() - start


def compare(prompts: dict[str, Prompts]) -> dict[bool, float]:
    """Greatest difference of finished prompts, without and with a teacher; an error beyond the tolerance."""
    worst = dict.fromkeys(TOLERANCES, 0.0)
    for key, tensors in prompts["plain"].items():
        taught = key[0] == "boosting" or is_cascaded(key[0])
        for name, tensor in tensors.items():
            worst[taught] = max(worst[taught], float((prompts["ours"][key][name] - tensor).abs().max()))
    if not all(worst[taught] <= tolerance for taught, tolerance in TOLERANCES.items()):
        raise click.ClickException(f"The ways end in different prompts: {worst}.")
    return worst


@click.command()
@click.option("--student", default="ViT-B-16-quickgelu", show_default=True)
@click.option("--teacher", default="ViT-L-14-quickgelu", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True)
def main(student: str, teacher: str, threads: int, output: Path) -> None:
    """Run both ways and compare times and prompts."""
    torch.set_num_threads(threads)
    shared = {"student": student, "teacher": teacher, "device": "cpu", "threads": threads}
    shared["precision"] = "float32"
    # What a real run does once, and would weigh a thousandfold here, is not measured.
    backbone(student, "cpu", "float32"), backbone(teacher, "cpu", "float32")
    frozen_text(student, "cpu", "float32", BASE)
    rows, prompts = [], {way: {} for way in WAYS}
    with TemporaryDirectory() as scratch:
        images = some_images(BOOSTING_IMAGES + 32 * SEEDS, Path(scratch))
        seeds = [images[BOOSTING_IMAGES + 32 * n :][:32] for n in range(SEEDS)]
        boosting = Case(
            method="boosting",
            classes=CLASSES,
            images=tuple(images[:BOOSTING_IMAGES]),
            steps=BOOSTING_STEPS,
            **shared,
        )
        adapting = replace(boosting, classes=BASE)
        for way in WAYS:
            for method, seed, prompt, before, steps in run(
                way, boosting, adapting, seeds, Path(scratch) / way
            ):
                prompts[way][method, seed] = prompt
                rows.append({"way": way, "stage": method, "seed": seed, "before": before, "steps": steps})
                print(rows[-1], flush=True)
            # Ours encodes test images again only for prompts with vision tokens, and twice for all others.
            encodings = 2 * SEEDS * len(STEPS) + 2 if way == "plain" else 2 * SEEDS * 2 + 2
            cost = test_seconds(backbone(student, "cpu", "float32"), encodings)
            rows.append({"way": way, "stage": "testing", "seed": 0, "before": 0.0, "steps": cost})
    differences = compare(prompts)
    table = pd.DataFrame(rows)
    output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(output, index=False)
    summary = table.groupby(["stage", "way"], sort=False)[["before", "steps"]].sum().sum(axis=1).unstack()
    summary.loc["all"] = summary.sum()
    summary["ratio"] = summary["plain"] / summary["ours"]
    print(summary.to_string(float_format="{:,.2f}".format))
    for taught, worst in differences.items():
        which = "that follow from the teacher" if taught else "that do not"
        print(f"Prompts {which} differ by at most {worst:.1e}.")


if __name__ == "__main__":
    main()
