"""Weights files: OpenAI's archive and state dicts load; everything else gets one fitting sentence."""

import logging
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from promptdistill.clip.backbone import _untrained, load_backbone, weights_sha256
from promptdistill.config.models import BackboneConfig
from promptdistill.errors import UserError
from weights_files import half, save_archive


def load(path, model="miniature-student"):
    return load_backbone(BackboneConfig(model=model, pretrained=str(path)))


@pytest.fixture(scope="module")
def state(random_student):
    return random_student.model.state_dict()


@pytest.fixture(scope="module")
def archive(random_student, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "small.pt"
    save_archive(random_student.model, (1, 3, 32, 32), path)
    return path


def activations(backbone):
    towers = (backbone.model.transformer, backbone.model.visual.transformer)
    return {type(block.mlp.gelu).__name__ for tower in towers for block in tower.resblocks}


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-B-32-quickgelu"])
def test_an_archive_of_openai(model, tmp_path):
    """Features are those of the same weights in a plain file, with QuickGELU, whatever the model's name."""
    random = _untrained("ViT-B-32", quick_gelu=True)
    save_archive(random, (1, 3, 224, 224), tmp_path / "ViT-B-32.pt")
    torch.save(half(random), tmp_path / "plain.pt")
    loaded, plain = load(tmp_path / "ViT-B-32.pt", model), load(tmp_path / "plain.pt", "ViT-B-32-quickgelu")
    assert activations(loaded) == {"QuickGELU"}
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert loaded.weights_sha256 == plain.weights_sha256
    pixels, tokens = torch.randn(2, 3, 224, 224), plain.tokenizer(["a star", "a moon"])
    with torch.no_grad():
        assert torch.equal(loaded.model.encode_image(pixels), plain.model.encode_image(pixels))
        assert torch.equal(loaded.model.encode_text(tokens), plain.model.encode_text(tokens))


def test_an_archive_of_a_resnet(tmp_path):
    random = _untrained("RN50", quick_gelu=True)
    save_archive(random, (1, 3, 224, 224), tmp_path / "RN50.pt")
    loaded = load(tmp_path / "RN50.pt", "RN50").model.state_dict()
    assert all(torch.equal(loaded[name], own.float()) for name, own in half(random).items() if own.dim())


def test_no_code_of_an_archive_runs(archive, state, tmp_path):
    """The code of the archive is damaged, and its weights are read all the same."""
    other = tmp_path / "other.pt"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(other, "w") as new:
        for member in old.infolist():
            content = b"1 / 0" if "/code/" in member.filename else old.read(member)
            new.writestr(member.filename, content)
    loaded = load(other).model.state_dict()
    assert all(torch.equal(own.float(), loaded[name]) for name, own in half_of(state).items())


def half_of(state):
    return {name: own.half() if own.dim() > 1 else own for name, own in state.items()}


@pytest.mark.parametrize(
    "make",
    [
        torch.save,
        lambda state, path: torch.save({"state_dict": state, "epoch": 3}, path),
        lambda state, path: torch.save({"model": state}, path),
        lambda state, path: torch.save({"state_dict": {f"module.{n}": t for n, t in state.items()}}, path),
        lambda state, path: torch.save(state | {"logit_scale": state["logit_scale"][None]}, path),
        lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
        save_file,
    ],
)
def test_files_that_load(make, state, random_student, tmp_path):
    path = tmp_path / "weights of a model.pt"
    make(state, path)
    assert load(path).weights_sha256 == random_student.weights_sha256


class Planted:
    """What would run if a file were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class Toy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def npz(_, path):
    with path.open("wb") as stream:
        np.savez(stream, a=np.zeros(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _, path: None, "there is no such file"),
        (lambda _, path: path.mkdir(), "it is a folder"),
        (lambda _, path: path.touch(), "it is empty"),
        (
            lambda _, path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
            "git lfs pull",
        ),
        (lambda _, path: path.write_text("hello, these are my weights"), "not a file of weights"),
        (npz, "not a file of weights"),
        (lambda _, path: torch.save({}, path), "is empty, not the weights of a model"),
        (lambda _, path: torch.save([1], path), "holds a list, not"),
        (lambda _, path: torch.save(torch.zeros(3), path), "holds a Tensor, not"),
        (
            lambda state, path: torch.save({"student": state}, path),
            "more than tensors by name, such as 'student'",
        ),
        (lambda state, path: torch.save({3: torch.zeros(1)}, path), "more than tensors by name, such as 3"),
        (lambda _, path: torch.jit.script(Toy()).save(path), "is empty, not the weights"),
        (
            lambda _, path: path.write_bytes(pickle.dumps({"a": 1})),
            "not a file of weights|more than tensors by name",
        ),
        (
            lambda state, path: save_file({**state, "text_projection": state["text_projection"].int()}, path),
            r"text_projection is int32 \(.*floating-point",
        ),
        (
            lambda state, path: save_file({n: t for n, t in state.items() if n != "visual.proj"}, path),
            "visual.proj is missing in the file and floating-point",
        ),
        (
            lambda state, path: save_file(state | {"head.weight": torch.zeros(2)}, path),
            r"head.weight is floating-point \(2,\) in the file and missing in the model",
        ),
        (
            lambda state, path: save_file(state | {"logit_scale": torch.tensor(torch.nan)}, path),
            "are not finite numbers: see logit_scale",
        ),
    ],
)
def test_files_that_are_refused(make, message, state, tmp_path):
    path = tmp_path / "w.pt"
    make(state, path)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert "network" not in str(caught.value) and str(path) in str(caught.value)


def test_nothing_is_unpickled(tmp_path):
    for number, zipped in enumerate((True, False)):
        path = tmp_path / f"{number}.pt"
        torch.save({"a": Planted(tmp_path / "ran")}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(UserError, match="not a file of weights"):
            load(path)
    assert not (tmp_path / "ran").exists()


def test_a_planted_object_in_an_archive(archive, tmp_path):
    planted = tmp_path / "planted.pt"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(planted, "w") as new:
        for member in old.infolist():
            objects = member.filename.endswith("/data.pkl")
            own = pickle.dumps(Planted(tmp_path / "ran"), 2) if objects else old.read(member)
            new.writestr(member.filename, own)
    with pytest.raises(UserError):
        load(planted)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_model(tmp_path):
    save_file(_untrained("ViT-B-32").state_dict(), tmp_path / "b32.safetensors")
    with pytest.raises(UserError, match=r"does not hold the weights of ViT-B-16: .*Name the model"):
        load(tmp_path / "b32.safetensors", "ViT-B-16")


def test_the_log_names_an_unknown_activation(tmp_path, caplog):
    """Where weights could be of either, one line says which it is; where there is one model, none."""
    save_file(_untrained("RN50").state_dict(), tmp_path / "weights.safetensors")
    with caplog.at_level(logging.WARNING):
        plain = load(tmp_path / "weights.safetensors", "RN50")
        quick = load(tmp_path / "weights.safetensors", "RN50-quickgelu")
    assert len(caplog.messages) == 2
    assert "RN50 computes with GELU" in caplog.messages[0] and "need RN50-quickgelu" in caplog.messages[0]
    assert "RN50-quickgelu computes with QuickGELU" in caplog.messages[1]
    assert plain.weights_sha256 != quick.weights_sha256  # so that no prompt of one serves the other


def test_the_log_is_silent_where_there_is_one_activation(state, tmp_path, caplog):
    save_file(state, tmp_path / "weights.safetensors")
    load(tmp_path / "weights.safetensors")
    assert not caplog.messages


def test_the_hash_knows_heads_and_every_number(random_student):
    model = _untrained("miniature-student")
    before = weights_sha256(model)
    block = model.transformer.resblocks[0].attn
    block.num_heads *= 2
    assert weights_sha256(model) != before
    block.num_heads //= 2
    assert weights_sha256(model) == before
    with torch.no_grad():
        model.ln_final.bias[0] += 1
    assert weights_sha256(model) != before
