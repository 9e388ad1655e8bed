"""Both training stages on a tiny data set: reproducible, resumable, and nothing of CLIP moves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from promptdistill.clip import prompted as prompted_module
from promptdistill.clip.backbone import weights_sha256
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.templates import template_features
from promptdistill.config import Regions, load_method
from promptdistill.data.images import normalise
from promptdistill.features.region_build import store_regions
from promptdistill.data.splits import Split, draw_few_shot, select_and_relabel, write_draw
from promptdistill.errors import UserError
from promptdistill.layout import feature_kind
from promptdistill.features.lookup_build import (
    Build,
    Encoder,
    LookupConfig,
    build_student_lookup,
    build_teacher_lookup,
    frozen_encoder,
)
from promptdistill.training import loop, stages
from promptdistill.clip.prompt_file import load_frozen, load_prompt
from promptdistill.training.batches import PickedRegions, load_batches
from promptdistill.training.stages import Run, train_adapting, train_distilled

CONFIG_DIR = Path(__file__).parent.parent.parent / "config"
REGIONS = Regions(count=2)
COMMON = {"epochs": 3, "batch_size": 4, "lr": 0.05}
DEEP = {**COMMON, "n_ctx_text": 2, "n_ctx_vision": 2, "prompt_depth": 2}
METHODS = {
    "coop": {**COMMON, "n_ctx": 4},
    "cocoop": {**COMMON, "n_ctx": 4, "ctx_init": "a photo of a"},
    "maple": {**COMMON, "n_ctx": 2, "prompt_depth": 2, "ctx_init": "a photo of a"},
    "kgcoop": {**COMMON, "n_ctx": 4},
    "lasp": {**COMMON, "n_ctx": 4, "templates": 5, "weight": 2},
    "ivlp": DEEP,
    "promptsrc": {**DEEP, "gpa_mean": 2, "gpa_std": 1},
}


FDBPL = {  # needs a teacher's lookup besides
    "fdbpl": load_method("fdbpl", CONFIG_DIR).hyperparameters
    | {**DEEP, "ctx_init": None, "negative_ctx_init": None, "threshold": 0.3},
}


def build_of(items, image_folder, encoder, regions, folder):
    return Build(
        items=items,
        image_folder=image_folder,
        encoder=encoder,
        regions=regions,
        config=LookupConfig(),
        folder=folder,
    )


@pytest.fixture(scope="module")
def lookup(tiny, random_student, tmp_path_factory):
    folder, split = tiny
    output = tmp_path_factory.mktemp("lookup")
    encoder = Encoder(clip=PromptedClip(random_student, []))
    names = split.class_names(split.labels)
    build_teacher_lookup(build_of(split.train, folder, encoder, REGIONS, output), "a photo of a {}.", names)
    return output


def boost(setting, lookup, hyperparameters, output):
    train_distilled(setting, [Run(seed=1, output=output)], "boosting", hyperparameters, lookup)


@pytest.fixture
def boosting(setting, lookup, tmp_path):
    output = tmp_path / "boosting.safetensors"
    boost(setting, lookup, {**DEEP, "prompt_depth": 3}, output)
    return output


def adapt(setting, output, method="coop", seed=1, boosting=None, **own):
    adapt_all(setting, {seed: output}, method, boosting, **own)
    return output.read_bytes()


def adapt_all(
    setting,
    outputs,
    method="coop",
    boosting=None,
    features=None,
    protocol="base_to_novel",
    lookup=None,
    **own,
):
    """Train one method for several seeds, as one job does; `outputs` maps seeds to prompts."""
    runs = []
    for seed, output in outputs.items():
        draw = output.with_suffix(".draw.json")
        write_draw(draw_few_shot(setting.split, 4, seed), draw)
        runs.append(Run(shots=4, seed=seed, draw=draw, output=output, features=features))
    train_adapting(
        setting,
        runs,
        method,
        {**(METHODS | FDBPL)[method.removesuffix("+caspl")], **own},
        boosting,
        protocol=protocol,
        lookup_folder=lookup,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cascaded", [False, True])
def test_every_method(setting, boosting, tmp_path, method, cascaded):
    """Same seed: the same bytes. Another seed: another prompt. CLIP and boosting prompt stay."""
    name = method + ("+caspl" if cascaded else "")
    frozen = boosting if cascaded else None
    before = weights_sha256(setting.student.model), boosting.read_bytes()
    first = adapt(setting, tmp_path / "a.safetensors", name, 1, frozen)
    assert first == adapt(setting, tmp_path / "b.safetensors", name, 1, frozen)
    others = [adapt(setting, tmp_path / f"{seed}.safetensors", name, seed, frozen) for seed in (2, 3)]
    assert len({first, *others}) == 3
    assert (weights_sha256(setting.student.model), boosting.read_bytes()) == before
    tensors, header = load_prompt(tmp_path / "a.safetensors")
    assert (header.method, header.seed, header.class_names) == (name, 1, ["star", "ring"])
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    history = json.loads((tmp_path / "a.history.json").read_text())
    assert [row["epoch"] for row in history] == [0, 1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_losses_fall(setting, tmp_path, method):
    """Each epoch is one step on the same regions of all images."""
    same = replace(setting, regions=Regions(count=1))
    adapt(same, tmp_path / "a.safetensors", method, epochs=20, batch_size=8, lr=0.02)
    losses = [row["loss"] for row in json.loads((tmp_path / "a.history.json").read_text())]
    assert losses[-1] < 0.97 * losses[1]


@pytest.mark.parametrize("method", ["coop", "promptsrc", "promptsrc+caspl"])
@pytest.mark.parametrize("after", [1, 3, 4, 5])
def test_killed_training_goes_on(setting, boosting, tmp_path, monkeypatch, method, after):
    """Killed after any step (there are 2 an epoch), the same call ends in the same bytes."""
    frozen = boosting if method.endswith("caspl") else None
    whole = adapt(setting, tmp_path / "whole.safetensors", method, boosting=frozen)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    output = tmp_path / "killed.safetensors"
    allow_steps(monkeypatch, after)
    with pytest.raises(KeyboardInterrupt):
        adapt(setting, output, method, boosting=frozen)
    assert not output.exists()
    allow_steps(monkeypatch, 6 - after)  # the rest, and not one more
    assert adapt(setting, output, method, boosting=frozen) == whole
    assert not output.with_suffix(".checkpoint").exists()


@pytest.mark.parametrize("method", ["fdbpl", "fdbpl+caspl"])
def test_fdbpl_killed_goes_on(setting, lookup, boosting, tmp_path, monkeypatch, method):
    """It learns from the lookup: the same bytes again, also after a kill; another seed ends elsewhere."""
    own = {"boosting": boosting if method.endswith("caspl") else None, "lookup": lookup}
    whole = adapt(setting, tmp_path / "whole.safetensors", method, **own)
    assert whole != adapt(setting, tmp_path / "other.safetensors", method, seed=2, **own)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    output = tmp_path / "killed.safetensors"
    allow_steps(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        adapt(setting, output, method, **own)
    allow_steps(monkeypatch, 3)
    assert adapt(setting, output, method, **own) == whole


def test_looked_up_answers_are_those_for_the_pixels_of_a_step(setting, lookup, random_student):
    """For a draw in another order than the split's, and a part of the classes in another order."""
    drawn = [setting.split.train[number] for number in (17, 3, 20, 0, 9)]
    labels = [3, 0, 2]
    items = select_and_relabel(drawn, labels)
    answers = stages._teacher_of(lookup, drawn, labels, setting)
    dataset = PickedRegions(items, setting.image_folder, REGIONS, setting.student.size, None)
    picks = [[(number, number % 2) for number in reversed(range(len(items)))]]
    (batch,) = load_batches(dataset, picks, 0)
    teacher = PromptedClip(random_student, [])
    pixels = normalise(batch.pixels, random_student.mean, random_student.std)
    text = template_features(teacher, "a photo of a {}.", setting.split.class_names(labels))
    expected = 20 * teacher.image_features(pixels) @ text.T
    found = answers.logits(batch.images, batch.regions, torch.tensor(20.0))
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=0)  # features are kept in half precision
    assert (expected[0] - expected[1]).abs().max() > 0.1  # answers for another region would not do


def test_methods_that_ask_a_teacher_need_its_lookup_and_regions(setting, lookup, tmp_path):
    with pytest.raises(UserError, match=r"fdbpl learns from a teacher's answers: .* --lookup"):
        adapt(setting, tmp_path / "a.safetensors", "fdbpl")
    with pytest.raises(UserError, match=r"fdbpl is trained on random regions: .* --regions"):
        adapt(replace(setting, regions=None), tmp_path / "a.safetensors", "fdbpl", lookup=lookup)


STEP = loop._step


def allow_steps(monkeypatch, count):
    """Kill the training, by an exception that nothing catches, before it takes more than `count` steps."""
    left = iter(range(count))

    def step(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return STEP(*arguments)

    monkeypatch.setattr(loop, "_step", step)


def test_finished_seeds_are_not_trained_again(setting, tmp_path, monkeypatch):
    """A job of three seeds, killed in the third, whose outputs the workflow then removed."""
    outputs = {seed: tmp_path / f"{seed}.safetensors" for seed in (1, 2, 3)}
    adapt_all(setting, outputs)
    whole = [output.read_bytes() for output in outputs.values()]
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    allow_steps(monkeypatch, 15)
    with pytest.raises(KeyboardInterrupt):
        adapt_all(setting, outputs)
    for output in outputs.values():
        output.unlink(missing_ok=True)
    allow_steps(monkeypatch, 3)
    adapt_all(setting, outputs)
    assert [output.read_bytes() for output in outputs.values()] == whole
    assert not list(tmp_path.glob("*.checkpoint"))


def test_killed_boosting_goes_on(setting, lookup, boosting, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    output = tmp_path / "again.safetensors"
    hyperparameters = {**DEEP, "prompt_depth": 3}
    allow_steps(monkeypatch, 8)  # of 18
    with pytest.raises(KeyboardInterrupt):
        boost(setting, lookup, hyperparameters, output)
    allow_steps(monkeypatch, 10)
    boost(setting, lookup, hyperparameters, output)
    assert output.read_bytes() == boosting.read_bytes()


def test_a_foreign_or_damaged_checkpoint_is_not_used(setting, tmp_path, monkeypatch):
    """A checkpoint of another learning rate or another draw, or half a file: training starts again."""
    whole = adapt(setting, tmp_path / "whole.safetensors")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    output = tmp_path / "other.safetensors"
    checkpoint = output.with_suffix(".checkpoint")
    other_split = replace(setting, split=replace(setting.split, train=setting.split.train[::-1]))
    for own, other in (({"lr": 0.01}, setting), ({}, other_split)):
        allow_steps(monkeypatch, 4)
        with pytest.raises(KeyboardInterrupt):
            adapt(other, output, **own)
        allow_steps(monkeypatch, 6)
        content = checkpoint.read_bytes()
        assert adapt(setting, output) == whole
    checkpoint.write_bytes(content[: len(content) // 2])
    allow_steps(monkeypatch, 6)
    assert adapt(setting, output) == whole


def test_loader_processes_change_nothing(setting, tmp_path):
    alone = adapt(setting, tmp_path / "a.safetensors")
    assert adapt(replace(setting, workers=2), tmp_path / "b.safetensors") == alone


def test_boosting_lowers_the_distance_to_the_teacher(setting, boosting):
    history = json.loads(boosting.with_suffix(".history.json").read_text())
    assert history[-1]["loss"] < history[0]["loss"]
    with safe_open(boosting, framework="pt") as file:
        assert set(file.keys()) == {f"{tower}.{layer}" for tower in ("text", "vision") for layer in range(3)}


def test_what_is_refused(setting, lookup, boosting, random_student, tmp_path):
    output = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match=r"coop\+caspl needs a boosting prompt"):
        adapt(setting, output, "coop+caspl")
    with pytest.raises(UserError, match=r"coop takes no boosting prompt: name it coop\+caspl"):
        adapt(setting, output, "coop", boosting=boosting)
    with pytest.raises(
        UserError, match="was learned for miniature-student \\(miniature\\) with other weights"
    ):
        adapt(replace(setting, student=random_student), output, "coop+caspl", boosting=boosting)
    with pytest.raises(UserError, match="the split's train list is empty for these classes"):
        empty = replace(setting, split=Split(train=[], val=[], test=setting.split.test))
        adapt(empty, output)
    with pytest.raises(UserError, match="The loss is not a number: lower the learning rate"):
        adapt(setting, output, lr=1e30)
    with pytest.raises(UserError, match=r"The lookup .* was made with images_sha256"):
        other = replace(setting, split=replace(setting.split, train=setting.split.train[::-1]))
        boost(other, lookup, DEEP, output)
    with pytest.raises(UserError, match=r"The lookup .* was made with regions"):
        boost(replace(setting, regions=Regions(count=3)), lookup, DEEP, output)
    with pytest.raises(UserError, match="no text features of the teacher for these classes and the template"):
        boost(replace(setting, template="a drawing of a {}."), lookup, DEEP, output)
    assert not output.exists()


def looked_up(setting, folder, boosting=None, seed=1):
    """Features of the images that `adapt` trains on with this seed."""
    draw = draw_few_shot(setting.split, 4, seed)
    items = select_and_relabel(draw.train, setting.split.base_labels)
    encoder = frozen_encoder(setting.student, boosting)
    build_student_lookup(build_of(items, setting.image_folder, encoder, setting.regions, folder))
    return folder


@pytest.mark.parametrize("cascaded", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_looked_up_features_end_in_the_same_prompt(setting, boosting, tmp_path, method, cascaded):
    """20 steps and more with the lookup, and with a forward pass of the frozen tower at every step."""
    name, frozen = (method + "+caspl", boosting) if cascaded else (method, None)
    kind = feature_kind(name, CONFIG_DIR)
    if kind is None:
        pytest.skip("looks nothing up")
    features = looked_up(setting, tmp_path / "features", boosting if kind == "boosted" else None)
    adapt(setting, tmp_path / "online.safetensors", name, 1, frozen, epochs=10)
    adapt(setting, tmp_path / "looked.safetensors", name, 1, frozen, features=features, epochs=10)
    online, looked = (load_prompt(tmp_path / f"{way}.safetensors")[0] for way in ("online", "looked"))
    for key, tensor in online.items():
        torch.testing.assert_close(looked[key], tensor, atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_methods_look_up_what_their_entry_says(setting, boosting, tmp_path, monkeypatch, method):
    """config/methods names the features; with them, no step runs the tower that the method leaves alone."""
    kind = feature_kind(method, CONFIG_DIR)
    features = looked_up(setting, tmp_path / "features") if kind else None
    prompted = load_method(method, CONFIG_DIR).looks_up != "cascade"
    seen = []
    tower = prompted_module.encode_image
    monkeypatch.setattr(prompted_module, "encode_image", lambda *a: seen.append(len(a[2])) or tower(*a))
    adapt(setting, tmp_path / "x.safetensors", method, features=features)
    assert set(seen) == ({1} if prompted else set())


def test_features_of_something_else_are_refused(setting, boosting, random_student, tmp_path):
    output = tmp_path / "x.safetensors"
    plain = looked_up(setting, tmp_path / "plain")
    boosted = looked_up(setting, tmp_path / "boosted", boosting)
    with pytest.raises(UserError, match="was made with images_sha256"):
        adapt(setting, output, seed=2, features=plain)
    with pytest.raises(UserError, match="was made with prompt_sha256"):
        adapt(setting, output, features=boosted)
    with pytest.raises(UserError, match="was made with encoder = "):
        adapt(replace(setting, student=random_student), output, features=plain)
    half = replace(setting, student=replace(setting.student, precision="bfloat16"))
    with pytest.raises(UserError, match="was made with precision = 'float32', but 'bfloat16' is asked for"):
        adapt(half, output, features=plain)
    with pytest.raises(UserError, match="was made with regions"):
        adapt(replace(setting, regions=Regions(count=9)), output, features=plain)
    assert not output.exists()


def test_stored_regions_change_nothing(setting, boosting, lookup, tmp_path, monkeypatch):
    """The same bytes from stored regions as from image files, and no file is opened."""
    plain = adapt(setting, tmp_path / "a.safetensors", "ivlp")
    store = tmp_path / "store"
    size, more = setting.student.size, Regions(count=5)
    store_regions(setting.split.train, setting.image_folder, more, size, 1.0, store)
    stored = replace(setting, store=store, image_folder=tmp_path / "nowhere")
    assert adapt(stored, tmp_path / "b.safetensors", "ivlp") == plain
    boost(stored, lookup, {**DEEP, "prompt_depth": 3}, tmp_path / "boosted.safetensors")
    assert (tmp_path / "boosted.safetensors").read_bytes() == boosting.read_bytes()


def test_half_precision_stays_near(setting, tmp_path):
    adapt(setting, tmp_path / "whole.safetensors", "promptsrc")
    half = replace(setting, student=replace(setting.student, precision="bfloat16"))
    adapt(half, tmp_path / "half.safetensors", "promptsrc")
    whole, half = (load_prompt(tmp_path / f"{way}.safetensors")[0] for way in ("whole", "half"))
    for key, tensor in whole.items():
        assert half[key].dtype == torch.float32
        assert 0 < (half[key] - tensor).abs().max() < 0.02


def test_damaged_prompts(boosting, student, tmp_path):
    with pytest.raises(UserError, match="does not exist: train this prompt first"):
        load_frozen(tmp_path / "none.safetensors", student)
    half = tmp_path / "half.safetensors"
    half.write_bytes(boosting.read_bytes()[:300])
    with pytest.raises(UserError, match="is not a prompt of this program, or is damaged"):
        load_frozen(half, student)
    shutil.copy(boosting, half)
    assert load_frozen(half, student).text[0].requires_grad is False
