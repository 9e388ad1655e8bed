"""A larger CLIP's real answers for the tiny data set, and methods as config/methods describes them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from promptdistill.clip.backbone import load_backbone
from promptdistill.clip.prompted import PromptedClip
from promptdistill.config.models import BackboneConfig, LookupConfig, Regions
from promptdistill.config.schema import Config
from promptdistill.experiment import Experiment
from promptdistill.features.lookup import RegionLookup
from promptdistill.features.lookup_build import Build, Encoder, build_teacher_lookup
from promptdistill.methods import make_method, parse_hyperparameters
from promptdistill.methods.base import MethodContext
from promptdistill.validation import read_yaml, validate

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

    content = {**read_yaml(CONFIG_DIR / "config.yaml"), "overrides": {}, "protocols": {"base_to_novel": {}}}
    experiment = Experiment(validate(Config, content, "published"), CONFIG_DIR)

    def hyperparameters(name, training="base_to_novel", **own):
        values = experiment.hyperparameters(name, "dtd", training)
        return values | {key: value for key, value in own.items() if key in values}

    def make(name, backbone, class_names, values, **parts):
        context = MethodContext(
            backbone=backbone,
            class_names=class_names,
            template="a photo of a {}.",
            config=parse_hyperparameters(name, values),
            generator=torch.Generator().manual_seed(0),
            **parts,
        )
        return make_method(name, context)

    return SimpleNamespace(hyperparameters=hyperparameters, make=make, config_dir=CONFIG_DIR)
