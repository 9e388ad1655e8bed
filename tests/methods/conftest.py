"""A larger CLIP's real answers for the tiny data set, and methods as config/methods describes them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from promptdistill.clip.backbone import load_backbone
from promptdistill.clip.prompted import PromptedClip
from promptdistill.config.entries import load_method
from promptdistill.config.models import BackboneConfig, LookupConfig, Regions
from promptdistill.features.lookup import RegionLookup
from promptdistill.features.lookup_build import Build, Encoder, build_teacher_lookup
from promptdistill.methods import find_method, parse_hyperparameters
from promptdistill.methods.base import MethodContext
from promptdistill.run import split_method

CONFIG_DIR = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="session")
def teacher():
    """The shipped miniature teacher; its logit scale and feature width are not the student's."""
    return load_backbone(BackboneConfig(model="miniature-teacher", pretrained="miniature"))


@pytest.fixture(scope="session")
def teacher_lookup(tiny, teacher, tmp_path_factory):
    """The teacher's answers for two regions of each training image, opened from disk."""
    folder, split = tiny
    build = Build(
        items=split.train,
        image_folder=folder,
        encoder=Encoder(clip=PromptedClip(teacher, [])),
        regions=Regions(count=2),
        config=LookupConfig(shard_images=10),
        folder=tmp_path_factory.mktemp("teacher_lookup"),
    )
    build_teacher_lookup(build, "a photo of a {}.", split.class_names(split.labels))
    return RegionLookup(build.folder)


@pytest.fixture(scope="session")
def published():
    """Functions that read config/methods: a method's hyper-parameters, and the method itself."""

    def hyperparameters(name, training="base_to_novel", **own):
        entry = load_method(name, CONFIG_DIR)
        values = {}
        for layer in (entry, entry.differences(training)):
            values |= layer.hyperparameters
            values |= (layer.with_boosting or {}) if split_method(name)[1] else {}
        return values | {key: value for key, value in own.items() if key in values}

    def make(name, backbone, class_names, values, **parts):
        base_name = split_method(name)[0]
        context = MethodContext(
            backbone=backbone,
            class_names=class_names,
            template="a photo of a {}.",
            config=parse_hyperparameters(base_name, values),
            generator=torch.Generator().manual_seed(0),
            **parts,
        )
        return find_method(base_name)(context)

    return SimpleNamespace(hyperparameters=hyperparameters, make=make, config_dir=CONFIG_DIR)
