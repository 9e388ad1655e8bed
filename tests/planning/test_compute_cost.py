"""Operations of a whole training step of FDBPL are those that torch's own counter sees its loss take."""

from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from promptdistill.clip.prompts import random_prompt
from promptdistill.config import LookupConfig, Regions, load_method
from promptdistill.features.lookup import RegionLookup
from promptdistill.features.lookup_build import Build, build_teacher_lookup, frozen_encoder
from promptdistill.methods import find_method, parse_hyperparameters
from promptdistill.methods.base import Batch, MethodContext
from promptdistill.planning.architecture import read_architecture
from promptdistill.planning.compute_cost import ComputeCost

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
    cost = ComputeCost.of("fdbpl", ENTRY, values)
    if cascaded:
        cost = cost.behind(ComputeCost.of("boosting", load_method("boosting", CONFIG_DIR), shape))
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
