"""Class-incremental: how classes are divided, what is measured, and prompts that go on from one another."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import trainings
from promptdistill.clip.prompt_file import load_prompt, tensors_after
from promptdistill.clip.prompted import PromptedClip
from promptdistill.data.images import open_image
from promptdistill.data.splits import draw_few_shot
from promptdistill.errors import UserError
from promptdistill.evaluation.predict import EvaluationInputs, ImageSource, predict, restore_method
from promptdistill.features.lookup_build import Build, LookupConfig, build_student_lookup, frozen_encoder
from promptdistill.protocols import PROTOCOLS
from promptdistill.protocols.base import SubsetResult
from promptdistill.protocols.class_incremental import ClassIncrementalSettings, divided
from promptdistill.training import loop, stages

PROTOCOL = PROTOCOLS["class_incremental"]
TWO = ClassIncrementalSettings(sessions=2)
COOP = {"epochs": 3, "batch_size": 4, "lr": 0.05, "n_ctx": 4}
SRC = {
    **{"epochs": 2, "batch_size": 4, "lr": 0.05, "n_ctx_text": 2, "n_ctx_vision": 2, "prompt_depth": 2},
    **{"gpa_mean": 1, "gpa_std": 1},
}


@given(labels=st.lists(st.integers(0, 999), unique=True, min_size=2), data=st.data())
def test_every_class_comes_once_in_order(labels, data):
    labels = sorted(labels)
    sessions = data.draw(st.integers(2, len(labels)))
    parts = divided(labels, sessions)
    assert [label for part in parts for label in part] == labels
    sizes = [len(part) for part in parts]
    assert len(sizes) == sessions
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


def test_fewer_classes_than_sessions(tiny):
    with pytest.raises(UserError, match=r"divides 4 classes among 5 sessions, .*sessions lower"):
        PROTOCOL.sessions(tiny[1], ClassIncrementalSettings(sessions=5))


def test_sessions_know_all_classes_seen_and_train_on_the_new_ones(tiny):
    split = tiny[1]
    first, second = PROTOCOL.sessions(split, TWO)
    assert (first.labels, first.classes) == ([0, 1], [0, 1])
    assert (second.labels, second.classes) == ([2, 3], [0, 1, 2, 3])
    after_1, after_2 = PROTOCOL.subsets(split, TWO)
    assert (after_1.session, after_1.class_names) == (0, ["star", "ring"])
    assert (after_2.session, len(after_2.items)) == (1, len(split.test))


@st.composite
def outcomes(draw):
    """Accuracies of each session's classes after each session: 10 images a class, two classes a session."""
    sessions = draw(st.integers(2, 5))
    return [
        {label: draw(st.integers(0, 10)) for label in range(2 * (after + 1))} for after in range(sessions)
    ]


@given(right=outcomes())
def test_measures_against_a_table_written_out(right):
    """a[after][j]: accuracy on the classes of session j after session `after`."""
    tested = [
        SubsetResult(
            name=f"after_{index + 1}",
            classes=len(own),
            session=index,
            right=own,
            images=dict.fromkeys(own, 10),
        )
        for index, own in enumerate(right)
    ]
    a = [[100 * (own[2 * j] + own[2 * j + 1]) / 20 for j in range(len(own) // 2)] for own in right]
    last = len(a) - 1
    forgetting = sum(max(a[after][j] for after in range(j, last)) - a[last][j] for j in range(last)) / last
    seen = [sum(row) / len(row) for row in a]
    found = PROTOCOL.measure(tested)
    assert found["forgetting"] == pytest.approx(forgetting)
    assert found["average"] == pytest.approx(sum(seen) / len(seen))
    assert found["last"] == pytest.approx(seen[-1])
    assert [found[f"accuracy_{index}"] for index in range(1, last + 2)] == pytest.approx(seen)
    assert list(found) == [
        metric.name for metric in PROTOCOL.metrics(ClassIncrementalSettings(sessions=last + 1))
    ]


def learn(inputs, output, method="coop", values=COOP, **paths):
    run = trainings.few_shot_run(inputs, output, **paths)
    trainings.adapt(inputs, [run], method, values, "class_incremental", TWO)
    return run


@pytest.mark.parametrize(("method", "values"), [("coop", COOP), ("promptsrc", SRC)])
def test_the_second_session_goes_on_from_the_first(inputs, tmp_path, method, values):
    """It starts at the first one's prompt, which is that of a training on the first half alone."""
    learn(inputs, tmp_path / "both.safetensors", method, values)
    tensors, header = load_prompt(tmp_path / "both.safetensors")
    assert header.sessions == [["star", "ring"], ["star", "ring", "heart", "moon"]]
    first, second = (tensors_after(session, tensors, header) for session in (0, 1))
    assert first.keys() == second.keys()
    assert any((first[name] - second[name]).abs().max() > 1e-4 for name in first)
    # Base to novel trains on the first half of the classes.
    alone = tmp_path / "alone.safetensors"
    trainings.adapt(inputs, [trainings.few_shot_run(inputs, alone)], method, values)
    for name, tensor in load_prompt(alone)[0].items():
        torch.testing.assert_close(first[name], tensor, atol=0, rtol=0)
    history = json.loads((tmp_path / "both.history.json").read_text())["rows"]
    assert [row["session"] for row in history] == [1] * values["epochs"] + [2] * values["epochs"]


def test_no_image_of_an_earlier_session_is_seen(inputs, tmp_path, monkeypatch):
    seen = []
    train = stages._train
    monkeypatch.setattr(
        stages, "_train", lambda method, items, *a: seen.append(items) or train(method, items, *a)
    )
    learn(inputs, tmp_path / "a.safetensors")
    names = [{item.class_name for item in items} for items in seen]
    assert names == [{"star", "ring"}, {"heart", "moon"}]
    assert {item.label for item in seen[-1]} == {2, 3}  # among all classes seen


def test_looked_up_features_are_those_of_each_sessions_images(inputs, tmp_path):
    """One lookup holds the images of all sessions, in the draw's order."""
    draw = draw_few_shot(inputs.split, 4, 1)
    build = Build(
        items=draw.train,
        image_folder=inputs.image_folder,
        encoder=frozen_encoder(inputs.student, None),
        regions=inputs.regions,
        config=LookupConfig(),
        folder=tmp_path / "features",
    )
    build_student_lookup(build)
    learn(inputs, tmp_path / "online.safetensors")
    learn(inputs, tmp_path / "looked.safetensors", features=tmp_path / "features")
    online, looked = (load_prompt(tmp_path / f"{way}.safetensors")[0] for way in ("online", "looked"))
    for name, tensor in online.items():
        torch.testing.assert_close(looked[name], tensor, atol=1e-4, rtol=0)


@pytest.mark.parametrize("after", [2, 6, 8])
def test_killed_in_either_session_it_goes_on(inputs, tmp_path, monkeypatch, after):
    """There are 2 steps an epoch, so 6 a session."""
    learn(inputs, tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    step, left = loop._step, iter(range(after))

    def killed(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    output = tmp_path / "killed.safetensors"
    monkeypatch.setattr(loop, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        learn(inputs, output)
    monkeypatch.setattr(loop, "_step", step)
    learn(inputs, output)
    assert output.read_bytes() == whole
    assert not list(tmp_path.glob("*.checkpoint"))


def test_each_session_is_tested_with_its_own_prompt(inputs, tmp_path):
    """Predictions against the tokens of each session, put into a prompted tower by hand."""
    run = learn(inputs, tmp_path / "a.safetensors")
    tested = EvaluationInputs(student=inputs.student, dataset="tiny", template=inputs.template)
    methods, _ = restore_method(tested, "coop", {}, trainings.sources(inputs, tmp_path, prompt=run.output))
    split = inputs.split
    images = ImageSource(folder=inputs.image_folder, items=split.test)
    (frame,) = predict([methods], PROTOCOL.subsets(split, TWO), images, batch_size=3, workers=0)
    tensors, header = load_prompt(run.output)
    for session, subset in enumerate(PROTOCOL.subsets(split, TWO)):
        clip = PromptedClip(inputs.student, [methods[session].prompt])
        block = [tensors_after(session, tensors, header)["text.0"]]
        text = clip.text_features(subset.class_names, block)
        own = frame[frame["subset"] == subset.name].set_index("path")
        assert len(own) == len(subset.items)
        for item in subset.items[::3]:
            pixels = inputs.student.preprocess(open_image(inputs.image_folder / item.path))[None]
            image = inputs.student.model.encode_image(pixels, normalize=True)
            assert own.loc[item.path]["prediction"] == int((image @ text.T).argmax())


def test_another_number_of_sessions_is_another_prompt(inputs, tmp_path):
    run = trainings.few_shot_run(inputs, tmp_path / "a.safetensors")
    for sessions in (2, 4):
        settings = ClassIncrementalSettings(sessions=sessions)
        trainings.adapt(inputs, [run], "coop", COOP, "class_incremental", settings)
        assert len(load_prompt(run.output)[1].sessions) == sessions


def test_a_session_of_one_class_learns(inputs, tmp_path):
    """Since it is told apart from all classes seen before."""
    settings = ClassIncrementalSettings(sessions=4)
    run = trainings.few_shot_run(inputs, tmp_path / "a.safetensors")
    trainings.adapt(inputs, [run], "coop", COOP, "class_incremental", settings)
    tensors, header = load_prompt(run.output)
    prompts = [tensors_after(session, tensors, header)["text.0"] for session in range(4)]
    assert all((one - other).abs().max() > 1e-5 for one, other in zip(prompts[1:], prompts[:-1], strict=True))
