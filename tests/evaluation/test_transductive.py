"""What a result says about unlabelled images and class names that training has seen."""

from pathlib import Path

import pytest
import torch

from promptdistill.artifacts import Roots, Sources
from promptdistill.clip.prompt_file import Header, save_prompt
from promptdistill.config.models import Regions
from promptdistill.evaluation import predict

CLASSES = ["star", "ring", "heart", "moon"]


def transductive(prompt, boosting, dataset, class_names):
    roots = Roots(results=Path("results"), data=Path("data"), config=Path("config"))
    return predict.transductive(Sources(roots, prompt=prompt, boosting=boosting), dataset, class_names)


@pytest.fixture
def saved(tmp_path, student):
    """A function that writes a finished prompt and returns its path."""

    def save(method, dataset, class_names):
        path = tmp_path / f"{method}-{dataset}-{len(class_names)}.safetensors"
        header = Header(
            phase="boosting" if method == "boosting" else "adapting",
            method=method,
            hyperparameters={},
            dataset=dataset,
            sessions=[class_names],
            template="a photo of a {}.",
            unlabelled=method in ("boosting", "promptkd"),
            seed=1,
            student=student.config,
            student_sha256=student.weights_sha256,
            regions=Regions(count=2),
            precision="float32",
            threads=1,
            versions={},
            inputs={},
        )
        save_prompt(path, [{"text.0": torch.zeros(2, 64)}], header)
        return path

    return save


@pytest.mark.parametrize("tested", [CLASSES, CLASSES[:2], CLASSES[2:]])
def test_boosting_prompt_of_the_tested_data_set(saved, tested):
    boosting = saved("boosting", "tiny", CLASSES)
    assert transductive(None, boosting, "tiny", tested) == "images and class names"
    prompt = saved("coop+caspl", "tiny", CLASSES[:2])
    assert transductive(prompt, boosting, "tiny", tested) == "images and class names"


def test_boosting_prompt_of_another_data_set(saved):
    """Only if it knows every tested class, a variant of its own data set for example."""
    boosting, prompt = saved("boosting", "other", CLASSES), saved("coop+caspl", "other", CLASSES)
    assert transductive(prompt, boosting, "tiny", CLASSES) == "class names"
    assert transductive(prompt, boosting, "tiny", ["moon", "star"]) == "class names"
    assert transductive(prompt, boosting, "tiny", [*CLASSES, "sun"]) is None
    assert transductive(prompt, boosting, "tiny", ["sun", "sea"]) is None


def test_names_that_only_the_labelled_training_knows_do_not_count(saved):
    boosting, prompt = saved("boosting", "other", CLASSES[:2]), saved("coop+caspl", "tiny", CLASSES)
    assert transductive(prompt, boosting, "tiny", CLASSES) is None
    assert transductive(prompt, boosting, "tiny", CLASSES[:2]) == "class names"


@pytest.mark.parametrize("method", ["coop", "promptsrc", "linear_probe", "promptkd_teacher"])
def test_methods_of_labelled_images(saved, method):
    assert transductive(saved(method, "tiny", CLASSES), None, "tiny", CLASSES) is None


def test_student_of_a_teacher(saved):
    """PromptKD learns from unlabelled images, without any boosting prompt."""
    prompt = saved("promptkd", "tiny", CLASSES)
    assert transductive(prompt, None, "tiny", CLASSES) == "images and class names"
    assert transductive(prompt, None, "other", CLASSES) == "class names"
    assert transductive(prompt, None, "other", ["sun"]) is None


def test_nothing_learned():
    assert transductive(None, None, "tiny", CLASSES) is None
