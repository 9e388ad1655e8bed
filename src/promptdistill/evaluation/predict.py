"""Predictions of finished prompts on the test images, written as Parquet."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..artifacts import KEY, Sources, sealed
from ..clip.backbone import Backbone
from ..clip.prompt_file import load_frozen, load_prompt, require_student, tensors_after
from ..data.splits import Item, Split
from ..errors import UserError
from ..features.loading import WholeImages, load
from ..features.lookup import RegionLookup
from ..features.rows import Rows, images_sha256
from ..files import atomic
from ..methods import find_method, parse_hyperparameters
from ..methods.base import Method, MethodContext
from ..progress import progress
from ..protocols.base import Subset
from ..provenance import versions
from ..run import family
from .metrics import columns


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSource:
    """The folder of test images, and a lookup of the features of `items`, all of them, if there is one."""

    folder: Path
    items: list[Item]
    features: RegionLookup | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationInputs:
    """What a method is tested for: the model and the data set; `files` are those that it reads, by name."""

    student: Backbone
    dataset: str
    template: str
    files: dict[str, Any] = field(default_factory=dict)


def restore_method(
    tested: EvaluationInputs, method: str, hyperparameters: dict[str, Any], sources: Sources
) -> tuple[list[Method], dict[str, Any]]:
    """A method with its finished prompt, as it was after each session, and what predictions say of it.

    `sources` name the prompt, and the boosting prompt that it is cascaded on; a method that learns nothing
    has neither, and takes `hyperparameters`.  Raises UserError for damaged prompts, and those
    of another student.
    """
    path = sources.get("prompt")
    origin = {"source": None, "seed": None, "shots": 0, "unlabelled": False}
    if path is None:
        return [_with_prompt(tested, method, hyperparameters, [], sources)], origin
    tensors, header = load_prompt(path)
    require_student(header, tested.student, path)
    after = [tensors_after(session, tensors, header) for session in range(len(header.sessions))]
    restored = [
        _with_prompt(tested, method, header.hyperparameters, class_names, sources, own)
        for class_names, own in zip(header.sessions, after, strict=True)
    ]
    own = header.model_dump(include={"seed", "shots", "unlabelled"})
    return restored, {"source": header.dataset, **own}


def _with_prompt(
    tested: EvaluationInputs,
    method: str,
    hyperparameters: dict[str, Any],
    class_names: list[str],
    sources: Sources,
    tensors: dict[str, Tensor] | None = None,
) -> Method:
    """A method, with the tensors of its prompt if it learns one, ready to classify."""
    boosting, tensors = sources.get("boosting"), tensors or {}
    context = MethodContext(
        backbone=tested.student,
        dataset=tested.dataset,
        class_names=class_names,
        template=tested.template,
        config=parse_hyperparameters(method, hyperparameters),
        generator=torch.Generator().manual_seed(0),
        frozen=[load_frozen(boosting, tested.student)] if boosting else [],
        teacher_text=tensors.get("teacher_text"),
        files=tested.files,
    )
    restored = find_method(family(method))(context)
    if restored.prompt is not None:
        if not tensors:
            raise UserError(f"{method} is learned, so it is tested with a prompt: name a run with shots.")
        try:
            restored.prompt.load_state_dict(tensors)
        except RuntimeError:
            raise UserError(
                f"{sources['prompt']} does not hold what {method} learns with its hyper-parameters: delete "
                "it and train again."
            ) from None
    return restored.eval().requires_grad_(False)


def transductive(sources: Sources, dataset: str, class_names: list[str]) -> str | None:
    """What training without labels saw of the data set that is tested.

    "images and class names" if a boosting prompt, or a student of a teacher, was learned on it, "class names"
    if on another one with all of its classes; None if neither, and for methods that only see labelled images.
    """
    headers = [load_prompt(sources[name])[1] for name in ("prompt", "boosting") if name in sources]
    unlabelled = [header for header in headers if header.unlabelled]
    if any(header.dataset == dataset for header in unlabelled):
        return "images and class names"
    known = {name for header in unlabelled for name in header.class_names}
    return "class names" if known.issuperset(class_names) else None


def described(subsets: list[Subset]) -> list[dict[str, Any]]:
    """What predictions say of the subsets that were tested."""
    return [
        {"name": subset.name, "classes": len(subset.class_names), "session": subset.session}
        for subset in subsets
    ]


def open_features(sources: Sources, split: Split, student: Backbone) -> RegionLookup | None:
    """Looked-up features of all test images, checked to be the student's, seen with this boosting prompt.

    None where none are looked up.  Raises UserError if they are something else.
    """
    if "features" not in sources:
        return None
    lookup = RegionLookup(sources["features"].parent)
    boosting = sources.record("boosting")
    lookup.require(
        images_sha256=images_sha256(split.test),
        regions=None,
        encoder=student.config,
        encoder_sha256=student.weights_sha256,
        precision=student.precision,
        prompt_sha256=boosting and boosting.sha256,
    )
    return lookup


@torch.no_grad()
def predict(
    runs: list[list[Method]],
    subsets: list[Subset],
    images: ImageSource,
    *,
    batch_size: int,
    workers: int,
) -> list[pd.DataFrame]:
    """Predictions of each run on all subsets, each against the subset's label set.

    A run is a method as it was after each session; the one after the subset's session is tested, or the only
    one.  An image is decoded once for all runs, and encoded once by each that learned something on the image
    side; the others share one encoding, or look it up.
    """
    for subset in subsets:
        if not subset.items:
            raise UserError(f"The split has no test image of the subset {subset.name}: it cannot be tested.")
    frames: list[list[pd.DataFrame]] = [[] for _ in runs]
    total = sum(len(subset.items) for subset in subsets)
    with progress(total, "testing", "image") as bar:
        for subset in subsets:
            methods = [run[min(subset.session, len(run) - 1)] for run in runs]
            classifiers = [method.classifier(subset.class_names) for method in methods]
            for items, features in _encoded(methods, subset.items, images, batch_size, workers):
                for index, classifier in enumerate(classifiers):
                    frames[index].append(_frame(items, subset.name, classifier(features[index])))
                bar.update(len(items))
    return [pd.concat(parts, ignore_index=True) for parts in frames]


def _encoded(
    methods: list[Method], items: list[Item], images: ImageSource, batch_size: int, workers: int
) -> Iterator[tuple[list[Item], list[Tensor]]]:
    """Batches of test images, with the features (B, D) that each method classifies them by."""
    device = methods[0].context.backbone.device
    batches = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    if images.features is not None and not any(method.learns_on_images for method in methods):
        rows = Rows(images.items, images.features.folder)
        for batch in batches:
            own = rows.of(batch)
            features = images.features.features(own, torch.zeros_like(own)).to(device)
            yield batch, [features] * len(methods)
        return
    whole = WholeImages(items, images.folder, methods[0].context.backbone.preprocess)
    loader = DataLoader(whole, batch_size, num_workers=workers, pin_memory=torch.cuda.is_available())
    for batch, (pixels, _) in zip(batches, load(loader), strict=True):
        on_device = pixels.flatten(0, 1).to(device, non_blocking=True)
        frozen = [method for method in methods if not method.learns_on_images]
        shared = frozen[0].encode_images(on_device) if frozen else None
        yield batch, [m.encode_images(on_device) if m.learns_on_images else shared for m in methods]


def _frame(items: list[Item], subset: str, logits: Tensor) -> pd.DataFrame:
    probabilities = logits.float().softmax(dim=1).cpu()
    if not probabilities.isfinite().all():
        row = int((~probabilities.isfinite()).any(dim=1).nonzero()[0])
        raise UserError(
            f"The scores of {items[row].path} are not finite numbers, so there is no prediction: train the "
            "prompt again with lower rates, or use other weights of the model."
        )
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


def write_predictions(path: Path, frame: pd.DataFrame, header: dict[str, Any]) -> None:
    """Write predictions atomically, with their header, sealed, in the Parquet file's own metadata."""
    header = sealed({**header, "versions": versions()}, columns(frame))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({KEY: json.dumps(header)})
    with atomic(path) as partial:
        pq.write_table(table, partial, write_page_checksum=True)
