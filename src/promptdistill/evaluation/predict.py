"""Predictions of finished prompts on the test images, written as Parquet."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..clip.backbone import Backbone
from ..config import split_method
from ..data.images import open_image
from ..data.loading import load
from ..data.splits import Item, Split, of_labels
from ..errors import UserError
from ..files import atomic, sha256
from ..methods import find_method, parse_hyperparameters
from ..methods.base import Method, Task
from ..provenance import versions
from ..training.artifact import load_frozen, load_prompt, require_student

COLUMNS = ("path", "subset", "label", "prediction", "probability_of_prediction", "probability_of_label")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subset:
    """Test images with a label set of their own; labels count in `class_names`."""

    name: str
    class_names: list[str]
    items: list[Item]


def base_and_novel(split: Split) -> list[Subset]:
    """The two halves of the test images, each against its own classes."""
    halves = {"base": split.base_labels, "novel": split.novel_labels}
    return [
        Subset(name=name, class_names=split.class_names(labels), items=of_labels(split.test, labels))
        for name, labels in halves.items()
    ]


class _TestImages(Dataset):
    def __init__(self, items: list[Item], image_folder: Path, preprocess: Callable[..., Tensor]) -> None:
        self.items = items
        self.image_folder = image_folder
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Tensor:
        return self.preprocess(open_image(self.image_folder / self.items[index].path))


def restore_method(
    student: Backbone,
    method: str,
    template: str,
    prompt: Path | None,
    boosting: Path | None,
    hyperparameters: dict[str, Any],
) -> tuple[Method, dict[str, Any]]:
    """A method with its finished prompt, ready to classify, and what predictions should say of it.

    Methods that learn nothing have no `prompt`.  Raises UserError for foreign or damaged prompts.
    """
    base_name, _ = split_method(method)
    tensors, names, origin = {}, [], {"prompt_sha256": None, "seed": None, "shots": 0}
    if prompt is not None:
        tensors, header = load_prompt(prompt)
        require_student(header, student, prompt)
        if (header.method, header.boosting_sha256) != (method, sha256(boosting) if boosting else None):
            raise UserError(
                f"{prompt} is a prompt of {header.method}, and belongs to one boosting prompt if cascaded: "
                f"it cannot be evaluated as {method} with {boosting or 'no boosting prompt'}."
            )
        names, hyperparameters = header.class_names, header.hyperparameters
        origin = {"prompt_sha256": sha256(prompt), "seed": header.seed, "shots": header.shots}
    task = Task(
        backbone=student,
        class_names=names,
        template=template,
        config=parse_hyperparameters(base_name, hyperparameters),
        generator=torch.Generator().manual_seed(0),
        frozen=[load_frozen(boosting, student)] if boosting else [],
    )
    restored = find_method(base_name)(task)
    if restored.prompt is not None:
        if prompt is None:
            raise UserError(f"{method} is learned: name its finished prompt with --prompt.")
        restored.prompt.load_state_dict(tensors)
    return restored.requires_grad_(False), origin


@torch.no_grad()
def predict(
    methods: list[Method],
    subsets: list[Subset],
    image_folder: Path,
    *,
    batch_size: int,
    workers: int,
) -> list[pd.DataFrame]:
    """Predictions of each method on all subsets; every image is decoded once for all methods.

    Each method encodes an image once, and classifies it against its subset's label set.
    """
    empty = [subset.name for subset in subsets if not subset.items]
    if empty:
        raise UserError(f"The split has no test image of the {' and '.join(empty)} classes.")
    classifiers = [
        {subset.name: method.classifier(subset.class_names) for subset in subsets} for method in methods
    ]
    backbone = methods[0].task.backbone
    frames: list[list[pd.DataFrame]] = [[] for _ in methods]
    total = sum(len(subset.items) for subset in subsets)
    with tqdm(total=total, desc="testing", unit="image", mininterval=1) as bar:
        for subset in subsets:
            images = _TestImages(subset.items, image_folder, backbone.preprocess)
            loader = DataLoader(images, batch_size, num_workers=workers, pin_memory=torch.cuda.is_available())
            for start, pixels in zip(range(0, len(images), batch_size), load(loader), strict=True):
                items = subset.items[start : start + len(pixels)]
                on_device = pixels.to(backbone.device, non_blocking=True)
                for number, method in enumerate(methods):
                    logits = classifiers[number][subset.name](method.clip.image_features(on_device))
                    frames[number].append(_frame(items, subset.name, logits))
                bar.update(len(items))
    return [pd.concat(parts, ignore_index=True) for parts in frames]


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
