"""Training on all classes, on whole images at once, and from a tuned teacher."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from promptdistill import config
from promptdistill.clip.backbone import weights_sha256
from promptdistill.config import LookupConfig, Regions
from promptdistill.data.splits import draw_few_shot, write_draw
from promptdistill.errors import UserError
from promptdistill.evaluation.predict import restore_method
from promptdistill.files import sha256
from promptdistill.features.lookup_build import Build, build_teacher_lookup, frozen_encoder
from promptdistill.features.lookup import RegionLookup
from promptdistill.training import loop
from promptdistill.clip.prompt_file import load_prompt
from promptdistill.training.stages import Run, train_adapting, train_distilled

CONFIG_DIR = Path(__file__).parent.parent.parent / "config"
REGIONS = Regions(count=2)
TUNED = {
    **{"epochs": 2, "batch_size": 4, "lr": 0.05, "gpa_mean": 2, "gpa_std": 1},
    **{"n_ctx_text": 2, "n_ctx_vision": 2, "prompt_depth": 2},
}
STUDENT = {"epochs": 3, "batch_size": 4, "lr": 0.01, "n_ctx_vision": 2, "prompt_depth": 2, "weight": 10}
COOP = {"epochs": 2, "batch_size": 4, "lr": 0.01, "n_ctx": 2}
NAMES = ["star", "ring", "heart", "moon"]
PROBE = config.load_method("linear_probe", CONFIG_DIR).hyperparameters


def run(setting, output, seed=1):
    draw = output.with_suffix(".draw.json")
    write_draw(draw_few_shot(setting.split, 2, seed), draw)
    return Run(shots=2, seed=seed, draw=draw, output=output)


def ask(setting, backbone, prompt, folder):
    """Build a lookup of a teacher's answers, with the prompt that it was tuned by or none."""
    build = Build(
        items=setting.split.train,
        image_folder=setting.image_folder,
        encoder=frozen_encoder(backbone, prompt),
        regions=REGIONS,
        config=LookupConfig(),
        folder=folder,
    )
    build_teacher_lookup(build, setting.template, NAMES)


@pytest.fixture
def teacher(setting, random_student, tmp_path):
    """The prompt that tunes a teacher (another model than the student), and its lookup."""
    prompt, folder = tmp_path / "teacher.safetensors", tmp_path / "lookup"
    tuning = replace(setting, student=random_student)
    train_adapting(tuning, [run(tuning, prompt)], "promptkd_teacher", TUNED, None, protocol="base_to_novel")
    ask(setting, random_student, prompt, folder)
    return prompt, folder


def distill(setting, lookup, output):
    runs = [Run(shots=2, seed=1, output=output)]
    train_distilled(setting, runs, "promptkd", STUDENT, lookup, protocol="base_to_novel")
    return output.read_bytes()


@pytest.mark.parametrize("protocol", ["few_shot", "transfer"])
def test_other_protocols_train_on_all_classes(setting, tmp_path, protocol):
    output = tmp_path / "a.safetensors"
    train_adapting(setting, [run(setting, output)], "coop", COOP, None, protocol=protocol)
    header = load_prompt(output)[1]
    assert (header.class_names, header.protocol, header.shots) == (NAMES, protocol, 2)


def test_linear_probe_of_whole_images(setting, tmp_path):
    """Twice the same bytes; the history holds what was tried; few-shot images are told apart."""
    whole, prompts = replace(setting, regions=None), []
    for name in ("a", "b"):
        output = tmp_path / f"{name}.safetensors"
        train_adapting(whole, [run(whole, output)], "linear_probe", PROBE, None, protocol="few_shot")
        prompts.append(output.read_bytes())
    assert prompts[0] == prompts[1]
    assert load_prompt(output)[1].regions is None
    history = json.loads(output.with_suffix(".history.json").read_text())
    assert {1e-6, 1e6} <= {row["C"] for row in history}
    restored = (setting.student, "linear_probe", setting.template, output, None, {})
    with pytest.raises(UserError, match="was learned for the protocol few_shot: it cannot be tested as base"):
        restore_method(*restored)
    method = restore_method(*restored, "few_shot")[0]
    assert method.classifier(NAMES)(torch.zeros(3, setting.student.feature_dim)).shape == (3, 4)


def test_linear_probe_without_validation_images(setting, tmp_path):
    """As on ImageNet: training images that were not drawn choose the regularisation."""
    split = replace(setting.split, val=[])
    whole, output = replace(setting, regions=None, split=split), tmp_path / "a.safetensors"
    train_adapting(whole, [run(whole, output)], "linear_probe", PROBE, None, protocol="few_shot")
    assert json.loads(output.with_suffix(".history.json").read_text())


def test_what_a_method_does_not_learn_from_is_refused(setting, teacher, tmp_path):
    runs = [run(setting, tmp_path / "a.safetensors")]
    with pytest.raises(UserError, match="coop learns from few labelled shots, not from a teacher"):
        train_distilled(setting, runs, "coop", COOP, teacher[1], protocol="base_to_novel")
    with pytest.raises(UserError, match="promptkd learns from a teacher, without labels"):
        train_adapting(setting, runs, "promptkd", STUDENT, None, protocol="base_to_novel")


def test_steps_need_regions(setting, tmp_path):
    whole = replace(setting, regions=None)
    output = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match="coop is trained on random regions: say how many, with --regions"):
        train_adapting(whole, [run(whole, output)], "coop", COOP, None, protocol="few_shot")


def test_a_tuned_teachers_lookup(setting, random_student, teacher):
    """Its features are those of the prompted tower, its text features those of its own prompt."""
    prompt, folder = teacher
    lookup = RegionLookup(folder)
    clip = frozen_encoder(random_student, prompt).clip
    torch.testing.assert_close(lookup.text, clip.text_features(NAMES), atol=1e-6, rtol=0)
    assert lookup.manifest.origin.prompt_sha256 == sha256(prompt)
    assert lookup.logit_scale == pytest.approx(float(random_student.logit_scale))
    assert lookup.manifest.classifier.template is None


def test_a_student_is_the_same_twice_and_learns(setting, teacher, tmp_path):
    before = weights_sha256(setting.student.model)
    first = distill(setting, teacher[1], tmp_path / "a.safetensors")
    assert distill(setting, teacher[1], tmp_path / "b.safetensors") == first
    assert weights_sha256(setting.student.model) == before
    tensors, header = load_prompt(tmp_path / "a.safetensors")
    assert header.class_names == NAMES
    assert header.lookup_sha256 == sha256(teacher[1] / "manifest.json")
    assert int(tensors["projection.1.num_batches_tracked"]) == 18  # 24 images, 6 steps, 3 epochs
    losses = [row["loss"] for row in json.loads((tmp_path / "a.history.json").read_text())]
    assert losses[-1] < losses[0]


def test_a_killed_student_goes_on(setting, teacher, tmp_path, monkeypatch):
    """Also its running averages: the same bytes as without the kill."""
    whole = distill(setting, teacher[1], tmp_path / "whole.safetensors")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    step, left = loop._step, iter(range(7))

    def killed(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(loop, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        distill(setting, teacher[1], tmp_path / "again.safetensors")
    monkeypatch.setattr(loop, "_step", step)
    assert distill(setting, teacher[1], tmp_path / "again.safetensors") == whole


def test_a_lookup_of_another_teacher_is_refused(setting, random_student, teacher, tmp_path):
    """A student wants the tuned teacher's, a boosting prompt the zero-shot one's."""
    deep = {key: value for key, value in TUNED.items() if not key.startswith("gpa")}
    runs = [Run(seed=1, output=tmp_path / "a.safetensors")]
    with pytest.raises(UserError, match="no text features of the teacher for these classes and the template"):
        train_distilled(setting, runs, "boosting", deep, teacher[1])
    ask(setting, random_student, None, tmp_path / "zero_shot")
    with pytest.raises(UserError, match="text features of the teacher for these classes and its own prompt"):
        distill(setting, tmp_path / "zero_shot", tmp_path / "b.safetensors")
