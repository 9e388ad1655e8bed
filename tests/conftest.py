"""What tests share: a small random CLIP, and where the optional real data lies."""

import os
from pathlib import Path

import pytest
import torch

from promptdistill.clip.backbone import load_backbone
from promptdistill.config import BackboneConfig

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("PROMPTDISTILL_SHARED", ROOT.parent / "shared"))


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
