"""PromptKD written out by hand, and on the whole way from a tuned teacher to predictions."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

import trainings
from plain.towers import image_features
from promptdistill.clip.prompt_file import load_prompt
from promptdistill.clip.prompts import drawn_from
from promptdistill.config.models import LookupConfig
from promptdistill.data.images import open_image
from promptdistill.errors import UserError
from promptdistill.features.lookup_build import Build, build_teacher_lookup, frozen_encoder
from promptdistill.methods.base import Batch
from promptdistill.training.stages import train_distilled

NAMES = ["star", "ring", "heart", "moon"]
IMAGES, REGIONS = torch.tensor([0, 9, 10, 23, 5]), torch.tensor([0, 1, 0, 1, 1])  # of two shards and more


@pytest.fixture
def promptkd(published, student, teacher_lookup):
    def make(**own):
        values = published.hyperparameters("promptkd", **{"prompt_depth": 2, **own})
        lookup = {"teacher": teacher_lookup, "teacher_text": teacher_lookup.text}
        return published.make("promptkd", student, NAMES, values, **lookup)

    return make


@pytest.fixture
def batch():
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return Batch(pixels, torch.zeros(5, dtype=torch.long), IMAGES, REGIONS)


def project(features, state, running=None):
    """Linear, batch normalisation by the batch or by `running` mean and variance, ReLU, linear."""
    hidden = features @ state["0.weight"].T + state["0.bias"]
    mean, variance = running or (hidden.mean(dim=0), ((hidden - hidden.mean(dim=0)) ** 2).mean(dim=0))
    hidden = (hidden - mean) / (variance + 1e-5).sqrt() * state["1.weight"] + state["1.bias"]
    return hidden.clamp(min=0) @ state["3.weight"].T + state["3.bias"]


def stored(folder):
    """The teacher's image features (images, regions, D) and text features (classes, D), from the files."""
    shards = [load_file(path)["features"] for path in sorted(folder.glob("shard-*.safetensors"))]
    return torch.cat(shards).float(), load_file(folder / "classifier.safetensors")["features"]


@pytest.mark.parametrize(("weight", "temperature"), [(1000.0, 1.0), (200.0, 2.5)])
def test_loss(promptkd, teacher_lookup, student, teacher, batch, weight, temperature):
    """weight · T² · KL(teacher || student), summed over images and classes, divided by their number.

    Each side has its own logit scale, and both compare with the teacher's text features.
    """
    method = promptkd(weight=weight, temperature=temperature)
    of_teacher, of_student = (clip.model.logit_scale.exp() for clip in (teacher, student))
    assert (of_teacher - of_student).abs() > 1  # else exchanging them would not be seen
    image, text = stored(teacher_lookup.folder)
    with torch.no_grad():
        raw = image_features(student.model, batch.pixels, [list(method.prompt.vision)])
        projected = project(raw, method.prompt.projection.state_dict())
        answers = of_student * F.normalize(projected, dim=1) @ text.T
        targets = of_teacher * image[IMAGES, REGIONS] @ text.T
        q, p = (answers / temperature).softmax(1), (targets / temperature).softmax(1)
        expected = weight * temperature**2 * (p * (p / q).log()).sum() / (5 * 4)
        torch.testing.assert_close(method.loss(batch), expected, atol=0, rtol=1e-4)


def test_labels_are_not_used(promptkd, batch):
    method = promptkd()
    other = batch._replace(labels=torch.tensor([3, 2, 1, 0, 3]))
    assert torch.equal(method.loss(batch), method.loss(other))


def convolutions(student_dim, teacher_dim):
    return nn.Sequential(
        nn.Conv2d(student_dim, teacher_dim, 1),
        nn.BatchNorm2d(teacher_dim),
        nn.ReLU(),
        nn.Conv2d(teacher_dim, teacher_dim, 1),
    )


def test_projection_equals_convolutions(promptkd, student, teacher):
    """Output, gradients and running statistics of 1×1 convolutions with the same weights, in both modes."""
    ours = promptkd().prompt.projection
    theirs = convolutions(student.feature_dim, teacher.feature_dim)
    shapes = {key: tensor.shape for key, tensor in theirs.state_dict().items()}
    theirs.load_state_dict({key: tensor.view(shapes[key]) for key, tensor in ours.state_dict().items()})
    features = torch.randn(7, student.feature_dim, generator=torch.Generator().manual_seed(2))
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        output, expected = ours(features), theirs(features[:, :, None, None])[:, :, 0, 0]
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
        gradients = torch.autograd.grad((output**3).sum(), list(ours.parameters()))
        for mine, their in zip(
            gradients, torch.autograd.grad((expected**3).sum(), list(theirs.parameters())), strict=True
        ):
            torch.testing.assert_close(mine, their.view(mine.shape), atol=1e-4, rtol=1e-4)
    for key, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], tensor.view(ours.state_dict()[key].shape))
    assert (ours[1].running_mean != 0).any()


def test_initial_projection_is_that_of_convolutions(promptkd, student, teacher):
    """Torch's default initial weights, the very same ones of one seed, from the method's own generator."""
    method = promptkd()
    generator = torch.Generator().manual_seed(0)
    for layer in method.prompt.vision:
        drawn = 0.02 * torch.randn(layer.shape, generator=generator)
        torch.testing.assert_close(layer.detach(), drawn)
    with drawn_from(generator):
        theirs = convolutions(student.feature_dim, teacher.feature_dim)
    for mine, their in zip(method.prompt.projection.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, their.view(mine.shape))


def test_class_features_are_the_teachers_rows(promptkd, teacher_lookup):
    method = promptkd()
    _, text = stored(teacher_lookup.folder)
    assert torch.equal(method.class_features(["moon", "star"]), text[[3, 0]])
    assert torch.equal(method.class_features(NAMES), text)
    with pytest.raises(UserError, match="no text features of the teacher for the class 'sun'"):
        method.class_features(["star", "sun"])


@pytest.fixture(scope="module")
def tuned_lookup(published, inputs, teacher, tmp_path_factory):
    """The answers of the teacher with its own prompt, trained on a few shots of the base classes."""
    folder = tmp_path_factory.mktemp("tuned")
    values = published.hyperparameters("promptkd_teacher", prompt_depth=2, epochs=2, gpa_mean=2)
    larger = replace(inputs, student=teacher)
    run = trainings.few_shot_run(larger, folder / "teacher.safetensors")
    trainings.adapt(larger, [run], "promptkd_teacher", values)
    build = Build(
        items=inputs.split.train,
        image_folder=inputs.image_folder,
        encoder=frozen_encoder(teacher, run.output),
        regions=inputs.regions,
        config=LookupConfig(),
        folder=folder / "lookup",
    )
    build_teacher_lookup(build, inputs.template, NAMES)
    return folder / "lookup"


@pytest.fixture(scope="module")
def finished(published, inputs, tuned_lookup, tmp_path_factory):
    """A student's finished prompt."""
    output = tmp_path_factory.mktemp("student") / "promptkd.safetensors"
    values = published.hyperparameters("promptkd", prompt_depth=2, epochs=3)
    run = replace(trainings.distilled_run(inputs, output, tuned_lookup), shots=4)
    train_distilled(inputs, [run], "promptkd", values, protocol="base_to_novel")
    return output


def restored(inputs, prompt):
    return trainings.restored(inputs, "promptkd", prompt)[0]


def test_predictions_of_an_image_do_not_depend_on_its_batch(finished, tiny, inputs, student):
    """The running statistics of the training normalise: written out by hand for single images."""
    folder, split = tiny
    method = restored(inputs, finished)
    assert not any(module.training for module in method.modules())
    pixels = torch.stack([student.preprocess(open_image(folder / item.path)) for item in split.test])
    together = method.encode_images(pixels)
    tensors, _ = load_prompt(finished)
    state = {key.removeprefix("projection."): t for key, t in tensors.items() if key.startswith("proj")}
    running = state["1.running_mean"], state["1.running_var"]
    assert (running[0] != 0).any()
    vision = [tensors["vision.0"], tensors["vision.1"]]
    for number in (0, 7, 15):
        one = pixels[number : number + 1]
        torch.testing.assert_close(method.encode_images(one)[0], together[number], atol=1e-5, rtol=0)
        by_hand = project(image_features(student.model, one, [vision]), state, running)
        torch.testing.assert_close(F.normalize(by_hand, dim=1)[0], together[number], atol=1e-5, rtol=0)
    classifier = method.classifier(["heart", "moon"])
    expected = student.logit_scale * together @ tensors["teacher_text"][2:].T
    torch.testing.assert_close(classifier(together), expected)


def test_the_tuned_teachers_text_goes_all_the_way(finished, tuned_lookup, teacher, inputs):
    """The prompt keeps the text features of the teacher with its prompt, of base and novel classes."""
    tensors, header = load_prompt(finished)
    encoder = frozen_encoder(teacher, tuned_lookup.parent / "teacher.safetensors")
    assert torch.allclose(tensors["teacher_text"], encoder.clip.text_features(NAMES), atol=1e-6)
    assert header.class_names == NAMES
    assert (header.phase, header.protocol, header.shots) == ("adapting", "base_to_novel", 4)


def test_what_is_refused(published, inputs, teacher_lookup, finished, tmp_path):
    """A teacher without a prompt of its own, and classes that it was not asked for."""
    values = published.hyperparameters("promptkd", prompt_depth=2, epochs=1)
    run = trainings.distilled_run(inputs, tmp_path / "x.safetensors", teacher_lookup.folder)
    with pytest.raises(UserError, match="has no text features of the teacher for these classes and its own"):
        train_distilled(inputs, [run], "promptkd", values, protocol="base_to_novel")
    with pytest.raises(UserError, match="for the class 'sun': PromptKD is trained again on each data set"):
        restored(inputs, finished).classifier(["star", "sun"])
