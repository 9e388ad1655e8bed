"""Predictions of finished prompts on the test images, written as Parquet."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..clip.backbone import Backbone
from ..clip.prompt_file import load_frozen, load_prompt, require_student
from ..config import Training
from ..data.protocols import CLASSES, Subset
from ..data.splits import Item, Split
from ..errors import UserError
from ..features.loading import WholeImages, load
from ..features.lookup import RegionLookup
from ..features.region_store import images_sha256
from ..files import atomic, sha256
from ..methods import find_method, parse_hyperparameters
from ..methods.base import Method, MethodContext
from ..progress import progress
from ..provenance import versions
from ..run import family

COLUMNS = ("path", "subset", "label", "prediction", "probability_of_prediction", "probability_of_label")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSource:
    """The folder of test images, and a lookup of the features of `items`, all of them, if there is one."""

    folder: Path
    items: list[Item]
    features: RegionLookup | None = None


def restore_method(
    student: Backbone,
    method: str,
    template: str,
    prompt: Path | None,
    boosting: Path | None,
    hyperparameters: dict[str, Any],
    protocol: Training = "base_to_novel",
) -> tuple[Method, dict[str, Any]]:
    """A method with its finished prompt, ready to classify, and what predictions should say of it.

    Methods that learn nothing have no `prompt`.  Raises UserError for damaged prompts, and for those of
    another student, method, boosting prompt or protocol.
    """
    name = family(method)
    tensors, names = {}, []
    origin = {"source": None, "prompt_sha256": None, "seed": None, "shots": 0, "unlabelled": False}
    if prompt is not None:
        tensors, header = load_prompt(prompt)
        require_student(header, student, prompt)
        if (header.method, header.boosting_sha256) != (method, sha256(boosting) if boosting else None):
            raise UserError(
                f"{prompt} is a prompt of {header.method}, and belongs to one boosting prompt if cascaded: "
                f"it cannot be evaluated as {method} with {boosting or 'no boosting prompt'}."
            )
        if header.protocol != protocol:
            raise UserError(
                f"{prompt} was learned for the protocol {header.protocol}: it cannot be tested as {protocol}."
            )
        names, hyperparameters = header.class_names, header.hyperparameters
        origin = {
            "source": header.dataset,
            "prompt_sha256": sha256(prompt),
            "seed": header.seed,
            "shots": header.shots,
            "unlabelled": find_method(name).unlabelled,
        }
    task = MethodContext(
        backbone=student,
        class_names=names,
        template=template,
        config=parse_hyperparameters(name, hyperparameters),
        generator=torch.Generator().manual_seed(0),
        frozen=[load_frozen(boosting, student)] if boosting else [],
        teacher_text=tensors.get("teacher_text"),
    )
    restored = find_method(name)(task)
    if restored.prompt is not None:
        if prompt is None:
            raise UserError(f"{method} is learned: name its finished prompt with --prompt.")
        restored.prompt.load_state_dict(tensors)
    return restored.eval().requires_grad_(False), origin


def transductive(
    prompt: Path | None, boosting: Path | None, dataset: str, class_names: list[str]
) -> str | None:
    """What training without labels saw of the data set that is tested.

    "images and class names" if a boosting prompt, or a student of a teacher, was learned on it, "class names"
    if on another one with all of its classes; None if neither, and for methods that only see labelled images.
    """
    headers = [load_prompt(path)[1] for path in (prompt, boosting) if path is not None]
    unlabelled = [header for header in headers if find_method(family(header.method)).unlabelled]
    if any(header.dataset == dataset for header in unlabelled):
        return "images and class names"
    known = {name for header in unlabelled for name in header.class_names}
    return "class names" if known.issuperset(class_names) else None


def open_features(
    folder: Path | None, split: Split, student: Backbone, boosting: Path | None
) -> RegionLookup | None:
    """Looked-up features of all test images, checked to be the student's, seen with this boosting prompt.

    Raises UserError if they are something else.
    """
    if folder is None:
        return None
    lookup = RegionLookup(folder)
    lookup.require(
        images_sha256=images_sha256(split.test),
        regions=None,
        encoder=student.config,
        encoder_sha256=student.weights_sha256,
        precision=student.precision,
        prompt_sha256=sha256(boosting) if boosting else None,
    )
    return lookup


@torch.no_grad()
def predict(
    methods: list[Method],
    subsets: list[Subset],
    images: ImageSource,
    *,
    batch_size: int,
    workers: int,
) -> list[pd.DataFrame]:
    """Predictions of each method on all subsets, each against the subset's label set.

    An image is decoded once for all methods, and encoded once by each method that learned something
    on the image side; the others share one encoding, or look it up.
    """
    for subset in subsets:
        if not subset.items:
            raise UserError(f"The split has no test image of {CLASSES[subset.name]}: it cannot be tested.")
    frames: list[list[pd.DataFrame]] = [[] for _ in methods]
    total = sum(len(subset.items) for subset in subsets)
    with progress(total, "testing", "image") as bar:
        for subset in subsets:
            classifiers = [method.classifier(subset.class_names) for method in methods]
            for items, features in _encoded(methods, subset.items, images, batch_size, workers):
                for number, classifier in enumerate(classifiers):
                    frames[number].append(_frame(items, subset.name, classifier(features[number])))
                bar.update(len(items))
    return [pd.concat(parts, ignore_index=True) for parts in frames]


def _encoded(
    methods: list[Method], items: list[Item], images: ImageSource, batch_size: int, workers: int
) -> Iterator[tuple[list[Item], list[Tensor]]]:
    """Batches of test images, with the features (B, D) that each method classifies them by."""
    device = methods[0].task.backbone.device
    batches = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    if images.features is not None and not any(method.learns_on_images for method in methods):
        row = {item.path: number for number, item in enumerate(images.items)}
        for batch in batches:
            rows = torch.tensor([row[item.path] for item in batch])
            features = images.features.features(rows, torch.zeros_like(rows)).to(device)
            yield batch, [features] * len(methods)
        return
    whole = WholeImages(items, images.folder, methods[0].task.backbone.preprocess)
    loader = DataLoader(whole, batch_size, num_workers=workers, pin_memory=torch.cuda.is_available())
    for batch, (pixels, _) in zip(batches, load(loader), strict=True):
        on_device = pixels.flatten(0, 1).to(device, non_blocking=True)
        frozen = [method for method in methods if not method.learns_on_images]
        shared = frozen[0].encode_images(on_device) if frozen else None
        yield batch, [m.encode_images(on_device) if m.learns_on_images else shared for m in methods]


def _frame(items: list[Item], subset: str, logits: Tensor) -> pd.DataFrame:
    probabilities = logits.float().softmax(dim=1).cpu()
    labels = torch.tensor([item.label for item in items])
    best, prediction = probabilities.max(dim=1)
    return pd.DataFrame(
        {
            "path": [item.path for item in items],
            "subset": subset,
            "label": labels.numpy().astype("int32"),
            "prediction": prediction.numpy().astype("int32"),
            "probability_of_prediction": best.numpy(),
            "probability_of_label": probabilities.gather(1, labels[:, None])[:, 0].numpy(),
        }
    )


def write_predictions(path: Path, frame: pd.DataFrame, origin: dict[str, Any]) -> None:
    """Write predictions atomically, with their origin in the Parquet file's own metadata."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    header = json.dumps({**origin, "versions": versions()})
    table = table.replace_schema_metadata({"promptdistill": header})
    with atomic(path) as partial:
        pq.write_table(table, partial)
