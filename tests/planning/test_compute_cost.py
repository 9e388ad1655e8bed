"""Operations of a whole training step are those that torch's own counter sees a method's loss take."""

from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from promptdistill.clip.architecture import read_architecture
from promptdistill.clip.prompts import random_prompt
from promptdistill.config.entries import load_method
from promptdistill.config.models import LookupConfig, Regions
from promptdistill.features.lookup import RegionLookup
from promptdistill.features.lookup_build import Build, build_teacher_lookup, frozen_encoder
from promptdistill.methods import find_method, parse_hyperparameters
from promptdistill.methods.base import Batch, MethodContext
from promptdistill.planning.flops import ComputeCost

CONFIG_DIR = Path(__file__).parents[2] / "config"
ENTRY = load_method("fdbpl", CONFIG_DIR)
NAMES = ["red star", "blue ring", "green heart", "black moon"]  # two tokens each, as is assumed


@pytest.fixture(scope="module")
def answers(tiny, student, tmp_path_factory):
    """A teacher's answers for two regions of each image."""
    folder, split = tiny
    build = Build(
        items=split.train,
        image_folder=folder,
        encoder=frozen_encoder(student, None),
        regions=Regions(count=2),
        config=LookupConfig(),
        folder=tmp_path_factory.mktemp("answers"),
    )
    build_teacher_lookup(build, "a photo of a {}.", NAMES)
    return RegionLookup(build.folder)


@pytest.mark.parametrize("cascaded", [False, True])
@pytest.mark.parametrize("own", [{}, {"n_ctx_vision": 0}])
def test_a_step_of_fdbpl(student, answers, cascaded, own):
    """Two regions of each of four images; two texts a class; without vision tokens, images go forward only.

    The logits, which are not counted, are the small rest.
    """
    values = ENTRY.hyperparameters | {"prompt_depth": 2, "threshold": 0.5} | own
    generator = torch.Generator().manual_seed(0)
    shape = {"n_ctx_text": 3, "n_ctx_vision": 2, "prompt_depth": 3}
    cost = ComputeCost.of(ENTRY, values)
    if cascaded:
        cost = cost.behind(ComputeCost.of(load_method("boosting", CONFIG_DIR), shape))
    method = find_method("fdbpl")(
        MethodContext(
            backbone=student,
            class_names=NAMES,
            template="a photo of a {}.",
            config=parse_hyperparameters("fdbpl", values),
            generator=generator,
            frozen=[random_prompt(student, generator, **shape).requires_grad_(False)] if cascaded else [],
            teacher=answers,
        )
    )
    images = torch.arange(4).repeat_interleave(2)
    batch = Batch(torch.randn(8, 3, *student.size), images % 4, images, torch.tensor([0, 1] * 4))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        method.loss(batch).backward()
    planned = cost.step(read_architecture("miniature-student"), len(NAMES), batch=8)
    assert planned == pytest.approx(counter.get_total_flops(), rel=1e-3)


@pytest.mark.parametrize(
    "name", ["coop", "cocoop", "ivlp", "kgcoop", "lasp", "maple", "promptkd_teacher", "promptsrc"]
)
def test_a_step_of_a_method_with_what_its_entry_says(student, answers, name):
    """What an entry leaves out of `costs` is not computed; small nets and losses are the rest."""
    entry = load_method(name, CONFIG_DIR)
    depth = {"prompt_depth": 2} if "prompt_depth" in entry.hyperparameters else {}
    values = entry.hyperparameters | depth
    looked_up = {f"{entry.looks_up}_features": answers} if entry.looks_up else {}
    method = find_method(name)(
        MethodContext(
            backbone=student,
            class_names=NAMES,
            template="a photo of a {}.",
            config=parse_hyperparameters(name, values),
            generator=torch.Generator().manual_seed(0),
            **looked_up,
        )
    )
    images = torch.arange(4)
    batch = Batch(torch.randn(4, 3, *student.size), images % 4, images, torch.zeros(4, dtype=torch.int64))
    method.loss(batch)  # what is encoded once is kept
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        method.loss(batch).backward()
    planned = ComputeCost.of(entry, values).step(read_architecture("miniature-student"), 4, batch=4)
    assert planned == pytest.approx(counter.get_total_flops(), rel=0.01)
