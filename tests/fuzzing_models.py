"""Readers of prompts, checkpoints, lookups and weights, for fuzzing: how a valid file is made, and read."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from fuzzing import Reader
from promptdistill.artifacts import Roots, Sources
from promptdistill.clip.backbone import Backbone, load_backbone
from promptdistill.clip.prompt_file import Header, load_frozen, save_prompt
from promptdistill.clip.prompts import random_prompt
from promptdistill.clip.weights import read_weights
from promptdistill.compat import import_open_clip
from promptdistill.config.models import BackboneConfig, Regions
from promptdistill.evaluation.predict import EvaluationInputs, restore_method
from promptdistill.features.lookup import Classifier, LookupManifest, LookupOrigin, RegionLookup
from promptdistill.features.shards import Shard, write_manifest
from promptdistill.files import sha256
from promptdistill.methods import find_method, parse_hyperparameters
from promptdistill.methods.base import MethodContext
from promptdistill.training.checkpoint import load_checkpoint, save_checkpoint
from weights_files import save_archive

DEEP = {"epochs": 1, "batch_size": 1, "lr": 0.1, "n_ctx_text": 1, "n_ctx_vision": 1, "prompt_depth": 2}
MODEL = BackboneConfig(model="miniature-student", pretrained="random")
TEMPLATE = "a {}."


@cache
def _student() -> Backbone:
    return load_backbone(MODEL)


def _header(**own: Any) -> Header:
    values = {
        "phase": "boosting",
        "method": "boosting",
        "hyperparameters": DEEP,
        "dataset": "own",
        "sessions": [["cat", "étoile"]],
        "template": TEMPLATE,
        "unlabelled": True,
        "seed": 1,
        "student": MODEL,
        "student_sha256": _student().weights_sha256,
        "regions": Regions(count=2),
        "precision": "float32",
        "threads": 1,
        "versions": {"torch": "2"},
        "inputs": {},
    }
    return Header(**values | own)


def _prompt(folder: Path, **own: Any) -> Path:
    shape = {name: value for name, value in DEEP.items() if name.startswith(("n_ctx", "prompt"))}
    tokens = random_prompt(_student(), torch.Generator().manual_seed(0), **shape)
    save_prompt(folder / "p.safetensors", [tokens.state_dict()], _header(**own))
    return folder / "p.safetensors"


def _tested(path: Path) -> None:
    tested = EvaluationInputs(student=_student(), dataset="other", template=TEMPLATE)
    roots = Roots(results=path.parent, data=path.parent / "data", config=path.parent / "config")
    restore_method(tested, "ivlp", {}, Sources(roots, prompt=path))


def _method() -> tuple[Any, torch.optim.SGD]:
    config = parse_hyperparameters("ivlp", DEEP)
    generator = torch.Generator().manual_seed(0)
    context = {"backbone": _student(), "class_names": ["cat"], "template": TEMPLATE}
    method = find_method("ivlp")(MethodContext(**context, config=config, generator=generator))
    return method, torch.optim.SGD(method.parameters(), lr=0.1, momentum=0.9)


def _checkpoint(folder: Path) -> Path:
    method, optimizer = _method()
    sum(parameter.sum() for parameter in method.parameters()).backward()
    optimizer.step()
    progress = {"epoch": 0, "step": 1, "loss": 1.0, "history": []}
    save_checkpoint(folder / "c.checkpoint", method, optimizer, progress, "f")
    return folder / "c.checkpoint"


def _go_on(path: Path) -> None:
    method, optimizer = _method()
    progress = load_checkpoint(path, method, optimizer, "f")
    assert progress in (None, {"epoch": 0, "step": 1, "loss": 1.0, "history": []}), "used, though damaged"


def _lookup(folder: Path) -> Path:
    shards = []
    for number, (start, stop) in enumerate([(0, 2), (2, 3)]):
        path = folder / f"shard-{number:05d}.safetensors"
        save_file({"features": torch.ones(stop - start, 2, 4)}, path)
        shards.append(Shard(file=path.name, start=start, stop=stop, sha256=sha256(path)))
    save_file({"features": torch.ones(2, 4)}, folder / "classifier.safetensors")
    origin = LookupOrigin(
        images_sha256="0" * 64,
        regions=Regions(count=2),
        encoder=MODEL,
        encoder_sha256="0" * 64,
        prompt_sha256=None,
        precision="float32",
        dtype="float32",
        code_sha256="0" * 64,
    )
    own = {"template": TEMPLATE, "class_names": ["cat", "étoile"], "logit_scale": 100.0}
    classifier = Classifier(**own, sha256=sha256(folder / "classifier.safetensors"))
    write_manifest(folder, LookupManifest(origin=origin, shards=shards, classifier=classifier, inputs={}))
    return folder / "manifest.json"


def _look_up(path: Path) -> None:
    lookup = RegionLookup(path.parent)
    if lookup.manifest.classifier is not None and lookup.manifest.shards:
        images, regions = lookup.every_region()
        lookup.logits(images, regions, torch.tensor(100.0))


def _weights(save: Callable[[dict[str, torch.Tensor], Path], None]) -> Reader:
    def make(folder: Path) -> Path:
        save({"logit_scale": torch.tensor(1.0), "visual.proj": torch.ones(2, 3).half()}, folder / "w.pt")
        return folder / "w.pt"

    return Reader(make, read_weights)


class _Small(torch.nn.Module):
    """What an archive can be made of in a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = torch.nn.Linear(2, 3)
        self.logit_scale = torch.nn.Parameter(torch.tensor(1.0))
        self.attn_mask = torch.zeros(2)


def _archive(folder: Path) -> Path:
    save_archive(_Small(), (1, 2), folder / "w.pt")
    return folder / "w.pt"


import_open_clip()
READERS = {
    "boosting prompt": Reader(_prompt, lambda path: load_frozen(path, _student())),
    "prompt": Reader(
        lambda folder: _prompt(folder, phase="adapting", method="ivlp", protocol="few_shot", shots=1), _tested
    ),
    "checkpoint": Reader(_checkpoint, _go_on),
    "manifest of a lookup": Reader(_lookup, _look_up),
    "shard of a lookup": Reader(
        lambda folder: _lookup(folder).with_name("shard-00000.safetensors"),
        lambda path: _look_up(path.with_name("manifest.json")),
    ),
    "safetensors of weights": _weights(save_file),
    "state dict": _weights(torch.save),
    "old state dict": _weights(lambda s, path: torch.save(s, path, _use_new_zipfile_serialization=False)),
    "archive of weights": Reader(_archive, read_weights),
}
