"""What tests share: a small random CLIP, and where the optional real data lies."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from promptdistill.clip.backbone import load_backbone
from promptdistill.compat import import_open_clip
from promptdistill.config.models import BackboneConfig, Regions
from promptdistill.data.splits import Item, Split
from promptdistill.miniature.pictures import Subject, draw
from promptdistill.training.stages import TrainingInputs

settings.register_profile("default", deadline=None)  # machines differ; no test is about time
settings.load_profile("default")
import_open_clip()  # makes torchvision importable, which tests compare with

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("PROMPTDISTILL_SHARED", ROOT.parent / "shared"))


# Files that run whole pipelines, for minutes each, the longest first.
_LONG = tuple(
    f"tests/{name}"
    for name in ("workflow/test_matrix", "dvc", "slurm", "workflow/test_workflow", "workflow", "tracking")
)


def pytest_collection_modifyitems(items):
    """Long files first: pytest-xdist hands files out in this order, and none is left for the end alone."""

    def rank(item):
        return next((index for index, name in enumerate(_LONG) if item.nodeid.startswith(name)), len(_LONG))

    items.sort(key=rank)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def student():
    """The shipped miniature student."""
    return load_backbone(BackboneConfig(model="miniature-student", pretrained="miniature"))


@pytest.fixture(scope="session")
def random_student():
    """The student's architecture with random weights."""
    return load_backbone(BackboneConfig(model="miniature-student", pretrained="random"))


@pytest.fixture(scope="session")
def shared():
    """Folder of published splits, real pictures and recorded runs; the test is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("no folder of recorded runs and real pictures beside the project")
    return SHARED


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A data set of four classes with a few pictures each: its image folder and its split."""
    folder = tmp_path_factory.mktemp("tiny")
    parts = {"train": [], "val": [], "test": []}
    for label, shape in enumerate(["star", "ring", "heart", "moon"]):
        for number in range(12):
            path = f"{shape}_{number}.png"
            rng = np.random.default_rng([label, number])
            draw(Subject(colour="red", texture="plain", shape=shape), rng).save(folder / path)
            part = "train" if number < 6 else "val" if number < 8 else "test"
            parts[part].append(Item(path, label, shape))
    return folder, Split(**parts)


@pytest.fixture(scope="session")
def inputs(tiny, student):
    """What training on the tiny data set needs to know: two regions of each image."""
    folder, split = tiny
    return TrainingInputs(
        dataset="tiny",
        split=split,
        image_folder=folder,
        template="a photo of a {}.",
        student=student,
        regions=Regions(count=2),
        threads=1,
        workers=0,
    )
