"""Both training stages on a tiny data set: reproducible, resumable, and nothing of CLIP moves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import trainings
from promptdistill.artifacts import KEY, sealed
from promptdistill.clip import prompted as prompted_module
from promptdistill.clip.backbone import weights_sha256
from promptdistill.clip.prompt_file import load_frozen, load_prompt, save_prompt, tensor_bytes
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.templates import template_features
from promptdistill.config.entries import load_method, load_plugin
from promptdistill.config.models import Regions
from promptdistill.data.images import normalise
from promptdistill.data.splits import Split, draw_few_shot, select_and_relabel
from promptdistill.errors import UserError
from promptdistill.experiment import Experiment
from promptdistill.features.lookup_build import (
    Build,
    Encoder,
    LookupConfig,
    build_student_lookup,
    build_teacher_lookup,
    frozen_encoder,
)
from promptdistill.features.region_build import store_regions
from promptdistill.features.rows import images_sha256
from promptdistill.protocols.base import Session
from promptdistill.run import MethodParts
from promptdistill.training import loop, stages
from promptdistill.training.batches import PickedRegions, load_batches
from promptdistill.training.stages import train_distilled
from trainings import distilled_run, few_shot_run

CONFIG_DIR = Path(__file__).parent.parent.parent / "config"
EXPERIMENT = Experiment.read(CONFIG_DIR / "config.yaml", CONFIG_DIR)
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


ASKING = {  # the teacher
    "fdbpl": load_method("fdbpl", CONFIG_DIR).hyperparameters
    | {**DEEP, "ctx_init": None, "negative_ctx_init": None, "threshold": 0.3},
    "coop+fdbpl": {
        **COMMON,
        "n_ctx": 4,
        **load_plugin("coop+fdbpl", CONFIG_DIR).hyperparameters,
        "region_scale": None,
        "negative": True,
    },
    "vpt+kdpl": {**COMMON, "n_ctx_vision": 2, "prompt_depth": 2},
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


def boost(inputs, lookup, hyperparameters, output, **own):
    train_distilled(inputs, [distilled_run(inputs, output, lookup, **own)], "boosting", hyperparameters)


@pytest.fixture
def boosting(inputs, lookup, tmp_path):
    output = tmp_path / "boosting.safetensors"
    boost(inputs, lookup, {**DEEP, "prompt_depth": 3}, output)
    return output


def adapt(inputs, output, method="coop", seed=1, paths=None, **own):
    adapt_all(inputs, {seed: output}, method, paths, **own)
    return output.read_bytes()


def adapt_all(inputs, outputs, method="coop", paths=None, **own):
    """Train one method for several seeds, as one job does.

    `outputs` maps seeds to prompts, `paths` the names of what is read to files and folders.
    """
    paths = {name: path for name, path in (paths or {}).items() if path is not None}
    runs = [few_shot_run(inputs, output, 4, seed, **paths) for seed, output in outputs.items()]
    values = {**(METHODS | ASKING)[str(MethodParts.of(method).alone)], **own}
    trainings.adapt(inputs, runs, method, values)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cascaded", [False, True])
def test_every_method(inputs, boosting, tmp_path, method, cascaded):
    """Same seed: the same bytes. Another seed: another prompt. CLIP and boosting prompt stay."""
    name = method + ("+caspl" if cascaded else "")
    frozen = {"boosting": boosting if cascaded else None}
    before = weights_sha256(inputs.student.model), boosting.read_bytes()
    first = adapt(inputs, tmp_path / "a.safetensors", name, 1, frozen)
    assert first == adapt(inputs, tmp_path / "b.safetensors", name, 1, frozen)
    others = [adapt(inputs, tmp_path / f"{seed}.safetensors", name, seed, frozen) for seed in (2, 3)]
    assert len({first, *others}) == 3
    assert (weights_sha256(inputs.student.model), boosting.read_bytes()) == before
    tensors, header = load_prompt(tmp_path / "a.safetensors")
    assert (header.method, header.seed, header.class_names) == (name, 1, ["star", "ring"])
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    history = json.loads((tmp_path / "a.history.json").read_text())["rows"]
    assert [row["epoch"] for row in history] == [0, 1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_losses_fall(inputs, tmp_path, method):
    """Each epoch is one step on the same regions of all images."""
    same = replace(inputs, regions=Regions(count=1))
    adapt(same, tmp_path / "a.safetensors", method, epochs=20, batch_size=8, lr=0.02)
    losses = [row["loss"] for row in json.loads((tmp_path / "a.history.json").read_text())["rows"]]
    assert losses[-1] < 0.97 * losses[1]


@pytest.mark.parametrize("method", ["coop", "promptsrc", "promptsrc+caspl"])
@pytest.mark.parametrize("after", [1, 3, 4, 5])
def test_killed_training_goes_on(inputs, boosting, tmp_path, monkeypatch, method, after):
    """Killed after any step (there are 2 an epoch), the same call ends in the same bytes."""
    frozen = {"boosting": boosting if method.endswith("caspl") else None}
    whole = adapt(inputs, tmp_path / "whole.safetensors", method, paths=frozen)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    output = tmp_path / "killed.safetensors"
    allow_steps(monkeypatch, after)
    with pytest.raises(KeyboardInterrupt):
        adapt(inputs, output, method, paths=frozen)
    assert not output.exists()
    allow_steps(monkeypatch, 6 - after)  # the rest, and not one more
    assert adapt(inputs, output, method, paths=frozen) == whole
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.fixture
def answers(inputs, random_student, tmp_path):
    """Functions that ask the teacher: about some images, or four shots of the base classes of a seed."""

    def ask(items):
        output = tmp_path / f"answers-{images_sha256(items)}"
        encoder = Encoder(clip=PromptedClip(random_student, []))
        names = inputs.split.class_names(inputs.split.labels)
        build = build_of(items, inputs.image_folder, encoder, REGIONS, output)
        build_teacher_lookup(build, "a photo of a {}.", names)
        return output

    def of_seed(seed):
        drawn = draw_few_shot(inputs.split, 4, seed)
        return ask(select_and_relabel(drawn.train, inputs.split.base_labels))

    return SimpleNamespace(ask=ask, of_seed=of_seed)


@pytest.mark.parametrize("method", ["fdbpl", "fdbpl+caspl", "coop+fdbpl", "vpt+caspl+kdpl"])
def test_what_asks_the_teacher_goes_on_when_killed(inputs, answers, boosting, tmp_path, monkeypatch, method):
    """The same bytes again, also after a kill; another seed ends elsewhere, and its answers are refused."""
    frozen = boosting if "+caspl" in method else None
    own, other = ({"paths": {"boosting": frozen, "answers": answers.of_seed(seed)}} for seed in (1, 2))
    whole = adapt(inputs, tmp_path / "whole.safetensors", method, **own)
    assert whole != adapt(inputs, tmp_path / "other.safetensors", method, seed=2, **other)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    output = tmp_path / "killed.safetensors"
    allow_steps(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        adapt(inputs, output, method, **own)
    allow_steps(monkeypatch, 3)
    assert adapt(inputs, output, method, **own) == whole
    with pytest.raises(UserError, match="was made with images_sha256"):
        adapt(inputs, tmp_path / "wrong.safetensors", method, **other)


def test_looked_up_answers_are_those_for_the_pixels_of_a_step(inputs, answers, random_student, tmp_path):
    """For a draw in another order than the split's, and a part of the classes in another order."""
    drawn = [inputs.split.train[number] for number in (17, 3, 20, 0, 9)]
    session = Session(labels=[3, 0, 2], classes=[3, 0, 2])
    items = select_and_relabel(drawn, session.labels)
    run = distilled_run(inputs, tmp_path / "x.safetensors", answers.ask(items))
    draw = Split(train=drawn, val=[], test=[])
    looked_up = stages._looked_up(draw, 0, [session], inputs, run)["teacher"]
    dataset = PickedRegions(items, inputs.image_folder, REGIONS, inputs.student.size, None)
    picks = [[(number, number % 2) for number in reversed(range(len(items)))]]
    (batch,) = load_batches(dataset, picks, 0)
    teacher = PromptedClip(random_student, [])
    pixels = normalise(batch.pixels, random_student.mean, random_student.std)
    names = inputs.split.class_names(session.classes)
    text = template_features(teacher, "a photo of a {}.", names)
    expected = 20 * teacher.image_features(pixels) @ text.T
    found = looked_up.logits(batch.images, batch.regions, torch.tensor(20.0))
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=0)  # features are kept in half precision
    assert (expected[0] - expected[1]).abs().max() > 0.1  # answers for another region would not do


STEP = loop._step


def allow_steps(monkeypatch, count):
    """Kill the training, by an exception that nothing catches, before it takes more than `count` steps."""
    left = iter(range(count))

    def step(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return STEP(*arguments)

    monkeypatch.setattr(loop, "_step", step)


def test_finished_seeds_are_not_trained_again(inputs, tmp_path, monkeypatch):
    """A job of three seeds, killed in the third, whose outputs the workflow then removed."""
    outputs = {seed: tmp_path / f"{seed}.safetensors" for seed in (1, 2, 3)}
    adapt_all(inputs, outputs)
    whole = [output.read_bytes() for output in outputs.values()]
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    allow_steps(monkeypatch, 15)
    with pytest.raises(KeyboardInterrupt):
        adapt_all(inputs, outputs)
    for output in outputs.values():
        output.unlink(missing_ok=True)
    allow_steps(monkeypatch, 3)
    adapt_all(inputs, outputs)
    assert [output.read_bytes() for output in outputs.values()] == whole
    assert not list(tmp_path.glob("*.checkpoint"))


def test_killed_boosting_goes_on(inputs, lookup, boosting, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    output = tmp_path / "again.safetensors"
    hyperparameters = {**DEEP, "prompt_depth": 3}
    allow_steps(monkeypatch, 8)  # of 18
    with pytest.raises(KeyboardInterrupt):
        boost(inputs, lookup, hyperparameters, output)
    allow_steps(monkeypatch, 10)
    boost(inputs, lookup, hyperparameters, output)
    assert output.read_bytes() == boosting.read_bytes()


def test_a_foreign_or_damaged_checkpoint_is_not_used(inputs, tmp_path, monkeypatch):
    """A checkpoint of another learning rate or another draw, or half a file: training starts again."""
    whole = adapt(inputs, tmp_path / "whole.safetensors")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    output = tmp_path / "other.safetensors"
    checkpoint = stages.checkpoint_path(output, 0)
    other_split = replace(inputs, split=replace(inputs.split, train=inputs.split.train[::-1]))
    for own, other in (({"lr": 0.01}, inputs), ({}, other_split)):
        allow_steps(monkeypatch, 4)
        with pytest.raises(KeyboardInterrupt):
            adapt(other, output, **own)
        allow_steps(monkeypatch, 6)
        content = checkpoint.read_bytes()
        assert adapt(inputs, output) == whole
    checkpoint.write_bytes(content[: len(content) // 2])
    allow_steps(monkeypatch, 6)
    assert adapt(inputs, output) == whole


def test_loader_processes_change_nothing(inputs, tmp_path):
    alone = adapt(inputs, tmp_path / "a.safetensors")
    assert adapt(replace(inputs, workers=2), tmp_path / "b.safetensors") == alone


def test_boosting_lowers_the_distance_to_the_teacher(inputs, boosting):
    history = json.loads(boosting.with_suffix(".history.json").read_text())["rows"]
    assert history[-1]["loss"] < history[0]["loss"]
    with safe_open(boosting, framework="pt") as file:
        assert set(file.keys()) == {f"{tower}.{layer}" for tower in ("text", "vision") for layer in range(3)}


@pytest.mark.parametrize("method", ["coop", "maple", "promptsrc", "ivlp"])
@pytest.mark.parametrize("rate", [3e38, 1e30])
def test_a_last_step_that_diverges(method, rate, inputs, tmp_path):
    """Its own loss is finite; what it does shows in no other step.  Nothing is saved."""
    output = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match=r"has diverged in epoch 1, step 1: .*, warmup_lr"):
        adapt(inputs, output, method, epochs=1, batch_size=8, warmup_lr=rate)
    assert not output.exists()


def test_boosting_that_diverges(inputs, lookup, tmp_path):
    with pytest.raises(UserError, match="Boosting has diverged in epoch 1"):
        boost(inputs, lookup, {**DEEP, "epochs": 1, "warmup_lr": 3e38}, tmp_path / "x.safetensors")
    assert list(tmp_path.glob("*.safetensors")) == []


def test_training_goes_on_after_the_last_look(inputs, tmp_path):
    """The look at the last step changes nothing of what is learned, nor of what is reported."""
    adapt(inputs, tmp_path / "x.safetensors", "promptsrc")
    looked = loop._loss_after
    try:
        loop._loss_after = lambda method, batch: torch.zeros(())
        adapt(inputs, tmp_path / "y.safetensors", "promptsrc")
    finally:
        loop._loss_after = looked
    for ending in (".safetensors", ".history.json"):
        one, other = ((tmp_path / name).with_suffix(ending).read_bytes() for name in "xy")
        assert one == other


def test_prompts_that_are_not_finite(inputs, tmp_path):
    """Neither saved nor loaded, whatever made them."""
    path = tmp_path / "x.safetensors"
    adapt(inputs, path)
    tensors, header = load_prompt(path)
    for value in (torch.nan, torch.inf):
        tensors["text.0"][0, 0] = value
        with pytest.raises(UserError, match=r"coop has diverged: .* not finite numbers: see text.0"):
            save_prompt(tmp_path / "y.safetensors", [tensors], header)
        about = sealed(header.model_dump(mode="json"), tensor_bytes(tensors))
        save_file(tensors, path, {KEY: json.dumps(about)})
        with pytest.raises(UserError, match=r"x.safetensors: its tensors are not finite numbers: see text.0"):
            load_frozen(path, inputs.student)
    assert not (tmp_path / "y.safetensors").exists()


@pytest.mark.parametrize(
    "own",
    [
        {"text.0": torch.zeros(2, 96), "text.2": torch.zeros(2, 96)},
        {"text.0": torch.zeros(2, 95)},
        {"text.0": torch.zeros(96)},
        {"vision.0": torch.zeros(2, 96, dtype=torch.int32)},
        {f"text.{layer}": torch.zeros(2, 96) for layer in range(4)},
    ],
)
def test_frozen_prompts_that_fit_no_tower(own, inputs, boosting, tmp_path):
    _, header = load_prompt(boosting)
    save_prompt(tmp_path / "x.safetensors", [own], header)
    with pytest.raises(UserError, match=r"x.safetensors holds no tokens"):
        load_frozen(tmp_path / "x.safetensors", inputs.student)


def test_what_is_refused(inputs, lookup, boosting, random_student, tmp_path):
    output = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match=r"coop\+caspl needs a boosting prompt"):
        adapt(inputs, output, "coop+caspl")
    with pytest.raises(UserError, match=r"coop takes no boosting prompt: name it coop\+caspl"):
        adapt(inputs, output, "coop", paths={"boosting": boosting})
    with pytest.raises(
        UserError, match="was learned for miniature-student \\(miniature\\) with other weights"
    ):
        adapt(replace(inputs, student=random_student), output, "coop+caspl", paths={"boosting": boosting})
    with pytest.raises(UserError, match="the split's train list is empty for these classes"):
        empty = replace(inputs, split=Split(train=[], val=[], test=inputs.split.test))
        adapt(empty, output)
    with pytest.raises(
        UserError, match=r"CoOp has diverged in epoch 2, step 2: .*Lower lr \(1e\+30\), warmup_lr"
    ):
        adapt(inputs, output, lr=1e30)
    with pytest.raises(UserError, match=r"The lookup .* was made with images_sha256"):
        other = replace(inputs, split=replace(inputs.split, train=inputs.split.train[::-1]))
        boost(other, lookup, DEEP, output)
    with pytest.raises(UserError, match=r"The lookup .* was made with regions"):
        boost(replace(inputs, regions=Regions(count=3)), lookup, DEEP, output)
    with pytest.raises(UserError, match="no text features of the teacher for these classes and the template"):
        boost(replace(inputs, template="a drawing of a {}."), lookup, DEEP, output)
    assert not output.exists()


def looked_up(inputs, folder, boosting=None, seed=1):
    """Features of the images that `adapt` trains on with this seed."""
    draw = draw_few_shot(inputs.split, 4, seed)
    items = select_and_relabel(draw.train, inputs.split.base_labels)
    encoder = frozen_encoder(inputs.student, boosting)
    build_student_lookup(build_of(items, inputs.image_folder, encoder, inputs.regions, folder))
    return folder


@pytest.mark.parametrize("cascaded", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_looked_up_features_end_in_the_same_prompt(inputs, boosting, tmp_path, method, cascaded):
    """20 steps and more with the lookup, and with a forward pass of the frozen tower at every step."""
    name, frozen = (method + "+caspl", boosting) if cascaded else (method, None)
    kind = EXPERIMENT.feature_kind(name, "base_to_novel")
    if kind is None:
        pytest.skip("looks nothing up")
    features = looked_up(inputs, tmp_path / "features", boosting if kind == "boosted" else None)
    adapt(inputs, tmp_path / "online.safetensors", name, 1, {"boosting": frozen}, epochs=10)
    paths = {"boosting": frozen, "features": features}
    adapt(inputs, tmp_path / "looked.safetensors", name, 1, paths, epochs=10)
    online, looked = (load_prompt(tmp_path / f"{way}.safetensors")[0] for way in ("online", "looked"))
    for key, tensor in online.items():
        torch.testing.assert_close(looked[key], tensor, atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_methods_look_up_what_their_entry_says(inputs, boosting, tmp_path, monkeypatch, method):
    """config/methods names the features; with them, no step runs the tower that the method leaves alone."""
    kind = EXPERIMENT.feature_kind(method, "base_to_novel")
    features = looked_up(inputs, tmp_path / "features") if kind else None
    prompted = load_method(method, CONFIG_DIR).looks_up != "cascade"
    seen = []
    tower = prompted_module.encode_image
    monkeypatch.setattr(prompted_module, "encode_image", lambda *a: seen.append(len(a[2])) or tower(*a))
    adapt(inputs, tmp_path / "x.safetensors", method, paths={"features": features})
    assert set(seen) == ({1} if prompted else set())


def test_features_of_something_else_are_refused(inputs, boosting, random_student, tmp_path):
    output = tmp_path / "x.safetensors"
    plain = looked_up(inputs, tmp_path / "plain")
    boosted = looked_up(inputs, tmp_path / "boosted", boosting)
    with pytest.raises(UserError, match="was made with images_sha256"):
        adapt(inputs, output, seed=2, paths={"features": plain})
    with pytest.raises(UserError, match="was made with prompt_sha256"):
        adapt(inputs, output, paths={"features": boosted})
    with pytest.raises(UserError, match="was made with encoder = "):
        adapt(replace(inputs, student=random_student), output, paths={"features": plain})
    half = replace(inputs, student=replace(inputs.student, precision="bfloat16"))
    with pytest.raises(UserError, match="was made with precision = 'float32', but 'bfloat16' is asked for"):
        adapt(half, output, paths={"features": plain})
    with pytest.raises(UserError, match="was made with regions"):
        adapt(replace(inputs, regions=Regions(count=9)), output, paths={"features": plain})
    assert not output.exists()


def test_stored_regions_change_nothing(inputs, boosting, lookup, tmp_path, monkeypatch):
    """The same prompt from stored regions as from image files, and no file is opened."""
    adapt(inputs, tmp_path / "a.safetensors", "ivlp")
    store = tmp_path / "store"
    size, more = inputs.student.size, Regions(count=5)
    store_regions(inputs.split.train, inputs.image_folder, more, size, 1.0, store)
    stored = replace(inputs, image_folder=tmp_path / "nowhere")
    adapt(stored, tmp_path / "b.safetensors", "ivlp", paths={"regions": store})
    assert load_file(tmp_path / "b.safetensors").keys() == load_file(tmp_path / "a.safetensors").keys()
    boost(stored, lookup, {**DEEP, "prompt_depth": 3}, tmp_path / "boosted.safetensors", regions=store)
    for one, other in (("a", "b"), ("boosting", "boosted")):
        tensors = [load_file(tmp_path / f"{name}.safetensors") for name in (one, other)]
        assert all(torch.equal(tensors[0][key], tensors[1][key]) for key in tensors[0])


def test_half_precision_stays_near(inputs, tmp_path):
    adapt(inputs, tmp_path / "whole.safetensors", "promptsrc")
    half = replace(inputs, student=replace(inputs.student, precision="bfloat16"))
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
    with pytest.raises(UserError, match="is not a prompt of this version, or is damaged"):
        load_frozen(half, student)
    shutil.copy(boosting, half)
    assert load_frozen(half, student).text[0].requires_grad is False
