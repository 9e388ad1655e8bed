"""Training on all classes, on whole images at once, and from a tuned teacher."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from promptdistill.clip.backbone import weights_sha256
from promptdistill.clip.prompt_file import load_prompt
from promptdistill.config.entries import load_method
from promptdistill.config.models import LookupConfig, Regions
from promptdistill.errors import UserError
from promptdistill.evaluation.predict import EvaluationInputs, restore_method
from promptdistill.features.lookup import RegionLookup
from promptdistill.features.lookup_build import Build, build_teacher_lookup, frozen_encoder
from promptdistill.files import sha256
from promptdistill.training import loop
from promptdistill.training.stages import train_distilled
from trainings import adapt, distilled_run, few_shot_run, sources

CONFIG_DIR = Path(__file__).parent.parent.parent / "config"
REGIONS = Regions(count=2)
TUNED = {
    **{"epochs": 2, "batch_size": 4, "lr": 0.05, "gpa_mean": 2, "gpa_std": 1},
    **{"n_ctx_text": 2, "n_ctx_vision": 2, "prompt_depth": 2},
}
STUDENT = {"epochs": 3, "batch_size": 4, "lr": 0.01, "n_ctx_vision": 2, "prompt_depth": 2, "weight": 10}
COOP = {"epochs": 2, "batch_size": 4, "lr": 0.01, "n_ctx": 2}
NAMES = ["star", "ring", "heart", "moon"]
PROBE = load_method("linear_probe", CONFIG_DIR).hyperparameters


def ask(inputs, backbone, prompt, folder):
    """Build a lookup of a teacher's answers, with the prompt that it was tuned by or none."""
    build = Build(
        items=inputs.split.train,
        image_folder=inputs.image_folder,
        encoder=frozen_encoder(backbone, prompt),
        regions=REGIONS,
        config=LookupConfig(),
        folder=folder,
    )
    build_teacher_lookup(build, inputs.template, NAMES)


@pytest.fixture
def teacher(inputs, random_student, tmp_path):
    """The prompt that tunes a teacher (another model than the student), and its lookup."""
    prompt, folder = tmp_path / "teacher.safetensors", tmp_path / "lookup"
    tuning = replace(inputs, student=random_student)
    adapt(tuning, [few_shot_run(tuning, prompt, 2)], "promptkd_teacher", TUNED)
    ask(inputs, random_student, prompt, folder)
    return prompt, folder


def distill(inputs, lookup, output):
    runs = [replace(distilled_run(inputs, output, lookup), shots=2)]
    train_distilled(inputs, runs, "promptkd", STUDENT, protocol="base_to_novel")
    return output.read_bytes()


@pytest.mark.parametrize("protocol", ["few_shot", "transfer"])
def test_other_protocols_train_on_all_classes(inputs, tmp_path, protocol):
    output = tmp_path / "a.safetensors"
    adapt(inputs, [few_shot_run(inputs, output, 2)], "coop", COOP, protocol)
    header = load_prompt(output)[1]
    assert (header.class_names, header.protocol, header.shots) == (NAMES, protocol, 2)


def test_linear_probe_of_whole_images(inputs, tmp_path):
    """Twice the same bytes; the history holds what was tried; few-shot images are told apart."""
    whole, prompts = replace(inputs, regions=None), []
    for name in ("a", "b"):
        output = tmp_path / f"{name}.safetensors"
        adapt(whole, [few_shot_run(whole, output, 2)], "linear_probe", PROBE, "few_shot")
        prompts.append(output.read_bytes())
    assert prompts[0] == prompts[1]
    assert load_prompt(output)[1].regions is None
    history = json.loads(output.with_suffix(".history.json").read_text())["rows"]
    assert {1e-6, 1e6} <= {row["C"] for row in history}
    tested = EvaluationInputs(student=inputs.student, dataset="tiny", template=inputs.template)
    read = sources(inputs, tmp_path, prompt=output)
    with pytest.raises(UserError, match="is a prompt of linear_probe for few_shot: it cannot be tested as"):
        restore_method(tested, "linear_probe", {}, read)
    (method,), _ = restore_method(replace(tested, protocol="few_shot"), "linear_probe", {}, read)
    assert method.classifier(NAMES)(torch.zeros(3, inputs.student.feature_dim)).shape == (3, 4)


def test_linear_probe_without_validation_images(inputs, tmp_path):
    """As on ImageNet: training images that were not drawn choose the regularisation."""
    split = replace(inputs.split, val=[])
    whole, output = replace(inputs, regions=None, split=split), tmp_path / "a.safetensors"
    adapt(whole, [few_shot_run(whole, output, 2)], "linear_probe", PROBE, "few_shot")
    assert json.loads(output.with_suffix(".history.json").read_text())["rows"]


def test_steps_need_regions(inputs, tmp_path):
    whole = replace(inputs, regions=None)
    output = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match="coop is trained on random regions: say which"):
        adapt(whole, [few_shot_run(whole, output, 2)], "coop", COOP, "few_shot")


def test_a_tuned_teachers_lookup(inputs, random_student, teacher):
    """Its features are those of the prompted tower, its text features those of its own prompt."""
    prompt, folder = teacher
    lookup = RegionLookup(folder)
    clip = frozen_encoder(random_student, prompt).clip
    torch.testing.assert_close(lookup.text, clip.text_features(NAMES), atol=1e-6, rtol=0)
    assert lookup.manifest.origin.prompt_sha256 == sha256(prompt)
    assert lookup.logit_scale == pytest.approx(float(random_student.logit_scale))
    assert lookup.manifest.classifier.template is None


def test_a_student_is_the_same_twice_and_learns(inputs, teacher, tmp_path):
    before = weights_sha256(inputs.student.model)
    first = distill(inputs, teacher[1], tmp_path / "a.safetensors")
    assert distill(inputs, teacher[1], tmp_path / "b.safetensors") == first
    assert weights_sha256(inputs.student.model) == before
    tensors, header = load_prompt(tmp_path / "a.safetensors")
    assert header.class_names == NAMES
    assert header.inputs["answers"].sha256 == sha256(teacher[1] / "manifest.json")
    assert header.unlabelled
    assert int(tensors["projection.1.num_batches_tracked"]) == 18  # 24 images, 6 steps, 3 epochs
    losses = [row["loss"] for row in json.loads((tmp_path / "a.history.json").read_text())["rows"]]
    assert losses[-1] < losses[0]


def test_a_killed_student_goes_on(inputs, teacher, tmp_path, monkeypatch):
    """Also its running averages: the same bytes as without the kill."""
    whole = distill(inputs, teacher[1], tmp_path / "whole.safetensors")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    step, left = loop._step, iter(range(7))

    def killed(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(loop, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        distill(inputs, teacher[1], tmp_path / "again.safetensors")
    monkeypatch.setattr(loop, "_step", step)
    assert distill(inputs, teacher[1], tmp_path / "again.safetensors") == whole


def test_a_lookup_of_another_teacher_is_refused(inputs, random_student, teacher, tmp_path):
    """A student wants the tuned teacher's, a boosting prompt the zero-shot one's."""
    deep = {key: value for key, value in TUNED.items() if not key.startswith("gpa")}
    runs = [distilled_run(inputs, tmp_path / "a.safetensors", teacher[1])]
    with pytest.raises(UserError, match="no text features of the teacher for these classes and the template"):
        train_distilled(inputs, runs, "boosting", deep)
    ask(inputs, random_student, None, tmp_path / "zero_shot")
    with pytest.raises(UserError, match="text features of the teacher for these classes and its own prompt"):
        distill(inputs, tmp_path / "zero_shot", tmp_path / "b.safetensors")
