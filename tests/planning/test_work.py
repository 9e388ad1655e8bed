"""Planned bytes are those that really built lookups and stores hold."""

import json

import pytest

from promptdistill.config.models import LookupConfig, Regions
from promptdistill.features.lookup_build import (
    Build,
    build_student_lookup,
    build_teacher_lookup,
    frozen_encoder,
)
from promptdistill.features.region_build import store_regions
from promptdistill.planning.work import lookup_bytes, stored_bytes


def payload(folder):
    """Bytes of the tensors in all safetensors files of a folder: without each file's header."""
    total = 0
    for path in folder.glob("*.safetensors"):
        header = int.from_bytes(path.read_bytes()[:8], "little")
        json.loads(path.read_bytes()[8 : 8 + header])
        total += path.stat().st_size - 8 - header
        assert header < 512
    return total


@pytest.fixture
def build(tiny, student, tmp_path):
    folder, split = tiny
    return Build(
        items=split.train,
        image_folder=folder,
        encoder=frozen_encoder(student, None),
        regions=Regions(count=3),
        config=LookupConfig(shard_images=10),
        folder=tmp_path / "built",
    )


def test_a_teachers_lookup(build, student):
    names = ["star", "ring", "heart", "moon"]
    build_teacher_lookup(build, "a photo of a {}.", names)
    classifier = len(names) * student.feature_dim * 4
    planned = lookup_bytes(len(build.items) * 3, student.feature_dim, number=2) + classifier
    assert payload(build.folder) == planned


def test_a_students_features(build, student):
    build_student_lookup(build)
    assert payload(build.folder) == lookup_bytes(len(build.items) * 3, student.feature_dim, number=4)


@pytest.mark.parametrize("max_gb", [1, 1e-6])
def test_stored_regions(tiny, student, tmp_path, max_gb):
    """Also where they are too large to be kept."""
    folder, split = tiny
    store_regions(split.train, folder, Regions(count=3), student.size, max_gb, tmp_path)
    assert payload(tmp_path) == stored_bytes(len(split.train) * 3, student.size, max_gb)
    assert (payload(tmp_path) > 0) == (max_gb == 1)
