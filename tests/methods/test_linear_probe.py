"""The linear probe against scikit-learn itself, and its search against a scan of all values."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import trainings
from promptdistill.artifacts import read_sealed, write_sealed
from promptdistill.data.images import open_image
from promptdistill.data.splits import draw_few_shot
from promptdistill.errors import UserError
from promptdistill.methods.base import Examples
from promptdistill.methods.linear_probe import search

NAMES = ["star", "ring", "heart", "moon", "sun"]


def examples(labels, seed, noise=4.0):
    """Normalised features (N, 96) that scatter so widely around their classes that none is easy."""
    centres = torch.randn(5, 96, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(labels)
    features = centres[labels] + noise * torch.randn(len(labels), 96, generator=generator)
    return Examples(torch.nn.functional.normalize(features, dim=1), labels)


def train_and_val(labels):
    """More training images of the first class, so that the strongest regularisation predicts only that."""
    unbalanced = labels * 8 + labels[:1] * 12
    return examples(unbalanced, seed=1), examples(labels * 8, seed=2)


@pytest.fixture
def probe_of(published, random_student):
    def make(class_names):
        values = published.hyperparameters("linear_probe")
        return published.make("linear_probe", random_student, class_names, values)

    return make


def sklearn_fit(c, train):
    return LogisticRegression(C=c, max_iter=1000).fit(train.features.numpy(), train.labels.numpy())


@pytest.mark.parametrize("classes", [2, 5])
def test_equals_scikit_learn_at_the_chosen_strength(probe_of, classes):
    """The first of the best values that were tried, and with it logits, probabilities and predictions."""
    train, val = train_and_val(list(range(classes)))
    method = probe_of(NAMES[:classes])
    tried = method.fit(train, val)
    for trial in tried:
        expected = 100 * sklearn_fit(trial["C"], train).score(val.features.numpy(), val.labels.numpy())
        assert trial["val_accuracy"] == pytest.approx(expected)
    best = max(tried, key=lambda trial: trial["val_accuracy"])
    assert len({trial["val_accuracy"] for trial in tried}) > 1  # else any choice would do
    expected = sklearn_fit(best["C"], train)
    test = examples(list(range(classes)) * 40, seed=3)
    with torch.no_grad():
        logits = method.classifier(NAMES[:classes])(test.features)
    np.testing.assert_array_equal(logits.argmax(1).numpy(), expected.predict(test.features.numpy()))
    probabilities = expected.predict_proba(test.features.numpy())
    assert probabilities.max() > 0.6  # a C at which the weights matter
    np.testing.assert_allclose(logits.softmax(1).numpy(), probabilities, atol=1e-5)


def test_the_values_that_are_tried(probe_of):
    """1e6, 1e4, … 1e-6 first; then around the best at half, a quarter, an eighth, … of the distance."""
    train, val = train_and_val([0, 1, 2, 3, 4])
    steps = [round(8 * np.log10(trial["C"])) for trial in probe_of(NAMES).fit(train, val)]
    assert steps[:7] == [48, 32, 16, 0, -16, -32, -48]
    assert len(steps) == len(set(steps)) <= 7 + 2 * 4


@st.composite
def unimodal_curves(draw):
    """Accuracies of the steps least … greatest that rise up to one step and fall behind it; and coarse."""
    coarse = draw(st.sampled_from([1, 2, 4, 8, 16]))
    least = draw(st.integers(-60, 20))
    length = draw(st.integers(1, 100))
    peak = draw(st.integers(0, length - 1))
    slopes = [draw(st.integers(1, 5)) for _ in range(2)]
    curve = {least + n: -slopes[n > peak] * abs(n - peak) for n in range(length)}
    return curve, coarse


@given(unimodal_curves())
def test_search_finds_the_only_peak(curve_and_coarse):
    """As a scan of all steps does, at the price of a few of them."""
    curve, coarse = curve_and_coarse
    asked = set()
    least, greatest = min(curve), max(curve)
    found = search(lambda step: asked.add(step) or curve[step], least, greatest, coarse)
    assert found == max(curve, key=curve.get)
    halvings = coarse.bit_length() - 1
    assert len(asked) <= len(range(least, greatest + 1, coarse)) + 2 * halvings


@given(st.lists(st.integers(0, 3), min_size=33, max_size=33), st.sampled_from([1, 2, 4, 8, 16]))
def test_search_keeps_the_first_of_the_best(accuracies, coarse):
    """On any curve: the result is the first step asked that is as good as the best step asked."""
    asked = []
    found = search(lambda step: asked.append(step) or accuracies[step], 0, 32, coarse)
    assert found == max(asked, key=lambda step: accuracies[step])


@given(st.integers(-48, 48))
def test_search_asks_what_clip_asks(peak):
    """The grid, then both neighbours of the best step so far: at half of the distance each time."""
    asked = []
    found = search(lambda step: asked.append(step) or -abs(step - peak), -48, 48, 16)
    expected, distance = [48, 32, 16, 0, -16, -32, -48], 8
    while distance:
        nearest = min(expected, key=lambda step: abs(step - peak))
        expected += [s for s in (nearest + distance, nearest - distance) if -48 <= s <= 48]
        distance //= 2
    assert list(dict.fromkeys(asked)) == expected
    assert found == peak


def test_the_steps_of_one_search():
    asked = []
    search(lambda step: asked.append(step) or -abs(step - 37), -48, 48, 16)
    grid, halved = [48, 32, 16, 0, -16, -32, -48], [40, 24, 44, 36, 38, 34, 37, 35]
    assert list(dict.fromkeys(asked)) == grid + halved


def test_no_accuracy_differs():
    """The greatest C: the least one would learn nothing."""
    assert search(lambda step: 50.0, -48, 48, 16) == 48


@pytest.mark.parametrize("present", [[0, 2, 3], [1, 3]])
def test_a_class_without_images_is_never_predicted(probe_of, present):
    """Also where the validation images have it; the others have scikit-learn's probabilities."""
    train, val = train_and_val(present)[0], examples([0, 1, 2, 3] * 4, seed=2)
    method = probe_of(NAMES[:4])
    best = max(method.fit(train, val), key=lambda trial: trial["val_accuracy"])
    test = examples([0, 1, 2, 3, 4] * 50, seed=3)
    with torch.no_grad():
        probabilities = method.classifier(NAMES[:4])(test.features).softmax(1)
    absent = [label for label in range(4) if label not in present]
    assert (probabilities[:, absent] == 0).all()
    expected = sklearn_fit(best["C"], train).predict_proba(test.features.numpy())
    assert expected.max() > 0.6
    np.testing.assert_allclose(probabilities[:, present].numpy(), expected, atol=1e-5)


def test_what_is_refused(probe_of):
    method = probe_of(NAMES)
    train, val = train_and_val([0, 1, 2, 3, 4])
    nothing = Examples(torch.empty(0, 96), torch.empty(0, dtype=torch.long))
    sentence = "needs training images of at least 2 classes, and others to choose"
    for images in ((train, nothing), (nothing, val), (examples([1, 1, 1], seed=1), val)):
        with pytest.raises(UserError, match=sentence):
            method.fit(*images)
    for others in (NAMES[:2], NAMES[::-1], [*NAMES, "sea"]):
        with pytest.raises(UserError, match="knows only the classes that it was fitted to: evaluate it on"):
            method.classifier(others)


def test_from_images_to_a_finished_prompt(published, inputs, student, tmp_path):
    """Whole images as they are tested, the draw's own validation images; saved and restored."""
    folder, split = inputs.image_folder, inputs.split
    inputs = replace(inputs, regions=None)
    draw = draw_few_shot(split, 4, 1)
    output = tmp_path / "probe.safetensors"
    run = trainings.few_shot_run(inputs, output)
    values = published.hyperparameters("linear_probe")
    trainings.adapt(inputs, [run], "linear_probe", values, "few_shot")

    def encoded(items):
        pixels = [student.preprocess(open_image(folder / item.path)) for item in items]
        features = student.model.encode_image(torch.stack(pixels), normalize=True)
        return Examples(features, torch.tensor([item.label for item in items]))

    train, val, test = encoded(draw.train), encoded(draw.val), encoded(split.test)
    steps = {}

    def accuracy(step):
        steps[step] = sklearn_fit(10 ** (step / 8), train)
        return steps[step].score(val.features.numpy(), val.labels.numpy())

    expected = steps[search(accuracy, -48, 48, 16)].predict_proba(test.features.numpy())
    method, origin = trainings.restored(inputs, "linear_probe", output)
    logits = method.classifier(split.class_names(split.labels))(test.features)
    np.testing.assert_allclose(logits.softmax(1).numpy(), expected, atol=1e-3)
    assert origin["shots"] == 4
    write_sealed(run.sources["draw"], read_sealed(run.sources["draw"]) | {"val": []})
    with pytest.raises(UserError, match="others to choose its regularisation by"):
        trainings.adapt(inputs, [run], "linear_probe", values, "few_shot")
