"""Predictions and metrics: against a plain loop, and from damaged files."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptdistill.artifacts import Roots, Sources
from promptdistill.clip import prompted
from promptdistill.config.models import LookupConfig
from promptdistill.data.images import open_image
from promptdistill.errors import UserError
from promptdistill.evaluation import metrics, predict
from promptdistill.features.lookup_build import Build, build_student_lookup, frozen_encoder
from promptdistill.protocols import PROTOCOLS
from promptdistill.protocols.base_to_novel import harmonic_mean
from trainings import restored

TEMPLATE = "a photo of a {}."
ORIGIN = {
    "protocol": "base_to_novel",
    "dataset": "tiny",
    "source": None,
    "method": "zero_shot",
    "shots": 0,
    "seed": None,
    "unlabelled": False,
    "transductive": None,
    "student": "miniature-student:miniature",
    "student_sha256": "0" * 64,
    "subsets": [
        {"name": "base", "classes": 2, "session": 0},
        {"name": "novel", "classes": 2, "session": 0},
    ],
    "made": None,
    "inputs": {},
}
ALL = [{"name": "all", "classes": 4, "session": 0}]


def subsets_of(split, protocol):
    return PROTOCOLS[protocol].subsets(split, None)


def metrics_of(path, protocol="base_to_novel"):
    roots = Roots(results=path.parent, data=path.parent / "data", config=path.parent / "config")
    return metrics.metrics_of(path, PROTOCOLS[protocol], roots)


def features_of(folder):
    roots = Roots(results=folder, data=folder / "data", config=folder / "config")
    return Sources(roots, features=folder / "f/manifest.json")


@pytest.fixture(scope="module")
def frames(tiny, inputs):
    folder, split = tiny
    both = [restored(inputs, name, None)[0] for name in ("zero_shot", "zero_shot_ensemble")]
    subsets = subsets_of(split, "base_to_novel")
    images = predict.ImageSource(folder=folder, items=split.test)
    return predict.predict([[method] for method in both], subsets, images, batch_size=3, workers=0)


def test_predictions_equal_a_plain_loop(frames, tiny, student):
    """Image by image, each half against its own classes, with open_clip's own calls."""
    folder, split = tiny
    for half in (["star", "ring"], ["heart", "moon"]):
        tokens = student.tokenizer([TEMPLATE.format(name) for name in half])
        text = student.model.encode_text(tokens, normalize=True)
        for item in (item for item in split.test if item.class_name in half):
            pixels = student.preprocess(open_image(folder / item.path))[None]
            image = student.model.encode_image(pixels, normalize=True)
            probabilities = (student.logit_scale * image @ text.T).softmax(1)[0]
            row = frames[0].set_index("path").loc[item.path]
            assert row["label"] == half.index(item.class_name)
            assert row["prediction"] == int(probabilities.argmax())
            assert row["probability_of_prediction"] == pytest.approx(float(probabilities.max()), abs=1e-5)
            expected = float(probabilities[half.index(item.class_name)])
            assert row["probability_of_label"] == pytest.approx(expected, abs=1e-5)
    assert len(frames[0]) == len(frames[1]) == len(split.test)


def test_metrics_from_disk(frames, tmp_path):
    path = tmp_path / "p.parquet"
    predict.write_predictions(path, frames[0], ORIGIN)
    row = metrics_of(path)
    for half in ("base", "novel"):
        own = frames[0][frames[0]["subset"] == half]
        expected = 100 * sum(own["label"] == own["prediction"]) / len(own)
        assert row[half] == pytest.approx(expected)
    assert row["hm"] == pytest.approx(harmonic_mean(row["base"], row["novel"]))
    assert "accuracy" not in row
    assert row["predictions"] == "p.parquet"
    assert row["key"] == "base_to_novel/tiny/zero_shot/0/-"
    facts = {key: value for key, value in ORIGIN.items() if key not in ("subsets", "made", "inputs")}
    assert {key: row[key] for key in facts} == facts


@pytest.mark.parametrize("protocol", ["few_shot", "transfer"])
def test_metrics_over_all_classes(tiny, inputs, student, tmp_path, protocol):
    """Each image against all classes, from the model to the figure."""
    folder, split = tiny
    zero_shot = restored(inputs, "zero_shot", None)[0]
    images = predict.ImageSource(folder=folder, items=split.test)
    subsets = subsets_of(split, protocol)
    frame = predict.predict([[zero_shot]], subsets, images, batch_size=5, workers=0)[0]
    path = tmp_path / "p.parquet"
    predict.write_predictions(path, frame, {**ORIGIN, "protocol": protocol, "subsets": ALL})
    row = metrics_of(path, protocol)
    tokens = student.tokenizer([TEMPLATE.format(name) for name in split.class_names(split.labels)])
    text = student.model.encode_text(tokens, normalize=True)
    pixels = [student.preprocess(open_image(folder / item.path)) for item in split.test]
    chosen = (student.model.encode_image(torch.stack(pixels), normalize=True) @ text.T).argmax(1)
    right = [int(best) == item.label for best, item in zip(chosen, split.test, strict=True)]
    assert row["accuracy"] == pytest.approx(100 * sum(right) / len(right))
    assert not {"base", "novel", "hm"} & set(row)
    assert (row["protocol"], row["images"]) == (protocol, len(split.test))


@pytest.mark.parametrize(
    ("label", "expected"), [([0, 1, 2, 3], 50.0), ([1, 0, 2, 3], 0.0), ([0, 1, 3, 3], 75.0)]
)
def test_accuracy_in_percent(tmp_path, label, expected):
    frame = pd.DataFrame({"subset": "all", "label": label, "prediction": [0, 1, 3, 2]})
    path = tmp_path / "p.parquet"
    predict.write_predictions(path, frame, {**ORIGIN, "protocol": "few_shot", "subsets": ALL})
    assert metrics_of(path, "few_shot")["accuracy"] == expected


@given(base=st.floats(0, 100), novel=st.floats(0, 100))
def test_harmonic_mean(base, novel):
    hm = harmonic_mean(base, novel)
    assert min(base, novel) - 1e-9 <= hm <= max(base, novel) + 1e-9
    assert hm == pytest.approx(harmonic_mean(novel, base))
    if base and novel:
        assert hm == pytest.approx(2 / (1 / base + 1 / novel))


def test_damaged_and_one_sided_predictions(frames, tmp_path):
    path = tmp_path / "p.parquet"
    with pytest.raises(UserError, match="does not exist: make it first"):
        metrics_of(path)
    predict.write_predictions(path, frames[0], ORIGIN)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="does not say what it was made from: it is damaged"):
        metrics_of(path)
    base_only = frames[0][frames[0]["subset"] == "base"]
    predict.write_predictions(path, base_only, ORIGIN)
    with pytest.raises(UserError, match="has no test image of the subset novel"):
        metrics_of(path)


def test_every_logit_is_scaled_as_clip_does(inputs, student):
    method, _ = restored(inputs, "zero_shot", None)
    pixels = torch.randn(2, 3, 32, 32)
    tokens = student.tokenizer([TEMPLATE.format(name) for name in ("star", "moon")])
    expected, _ = student.model.get_logits(pixels, tokens)
    logits = method.classifier(["star", "moon"])(method.clip.image_features(pixels))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_looked_up_test_images_give_the_same_predictions(frames, tiny, inputs, student, tmp_path):
    """And no image file is opened for them."""
    folder, split = tiny
    build = Build(
        items=split.test,
        image_folder=folder,
        encoder=frozen_encoder(student, None),
        regions=None,
        config=LookupConfig(shard_images=5),
        folder=tmp_path / "f",
    )
    build_student_lookup(build)
    features = predict.open_features(features_of(tmp_path), split, student)
    methods = [restored(inputs, "zero_shot", None)[0]]
    images = predict.ImageSource(folder=tmp_path / "nowhere", items=split.test, features=features)
    subsets = subsets_of(split, "base_to_novel")
    again = predict.predict([[method] for method in methods], subsets, images, batch_size=4, workers=0)[0]
    pd.testing.assert_frame_equal(again, frames[0], check_exact=False, atol=1e-5)
    with pytest.raises(UserError, match="was made with images_sha256"):
        other = replace(split, test=split.test[1:])
        predict.open_features(features_of(tmp_path), other, student)


def test_images_are_encoded_once_for_all_methods_that_leave_them_alone(tiny, inputs, monkeypatch):
    folder, split = tiny
    names = ["zero_shot", "zero_shot_ensemble", "zero_shot"]
    methods = [restored(inputs, name, None)[0] for name in names]
    seen = []
    tower = prompted.encode_image
    monkeypatch.setattr(prompted, "encode_image", lambda *a: seen.append(len(a[1])) or tower(*a))
    images = predict.ImageSource(folder=folder, items=split.test)
    predict.predict(
        [[method] for method in methods], subsets_of(split, "base_to_novel"), images, batch_size=3, workers=0
    )
    assert sum(seen) == len(split.test)
