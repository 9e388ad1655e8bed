"""Hyper-parameters are checked when a configuration is read: values, and whether the model has place."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from promptdistill import hyperparameters
from promptdistill.errors import UserError
from promptdistill.experiment import Experiment
from promptdistill.methods import find_method, find_plugin
from promptdistill.validation import known_names, merged, read_yaml

CONFIG_DIR = Path(__file__).parent.parent / "config"
DEFAULT = read_yaml(CONFIG_DIR / "config.yaml")
REAL = {
    "student": {"model": "ViT-B-16", "pretrained": "openai"},
    "teacher": {"model": "ViT-L-14", "pretrained": "openai"},
}
RESNET = {**REAL, "student": {"model": "RN50", "pretrained": "openai"}}


def checked(methods, backbones=REAL, protocols=("base_to_novel",), **overrides):
    """The default experiment with these methods alone, and overrides of theirs by name ("__" for "+")."""
    content = {
        **DEFAULT,
        "backbones": backbones,
        "methods": methods,
        "ablation": [],
        "protocols": {name: DEFAULT["protocols"][name] | {"methods": None} for name in protocols},
        "overrides": {name.replace("__", "+"): own for name, own in overrides.items()},
    }
    return Experiment.checked(content, CONFIG_DIR)


@pytest.mark.parametrize("method", known_names(CONFIG_DIR / "methods"))
def test_the_schema_is_that_of_the_class(method):
    found, own = hyperparameters.schema(f"methods.{method}"), find_method(method).Config
    assert json.dumps(found.model_json_schema()) == json.dumps(own.model_json_schema())


@pytest.mark.parametrize("plugin", known_names(CONFIG_DIR / "plugins"))
def test_the_schema_is_that_of_the_plugin(plugin):
    found, own = hyperparameters.schema(f"plugins.{plugin}"), find_plugin(plugin).Config
    assert json.dumps(found.model_json_schema()) == json.dumps(own.model_json_schema())


def test_checking_imports_no_torch():
    code = (
        "import sys; from pathlib import Path; from promptdistill.experiment import Experiment\n"
        "for name in ('config', 'paper', 'miniature_all', 'class_incremental'):\n"
        f"    Experiment.read(Path({str(CONFIG_DIR)!r}, name + '.yaml'), Path({str(CONFIG_DIR)!r}))\n"
        "assert not {'torch', 'sklearn', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("method", "own", "message"),
    [
        ("coop", {"lr": "abc"}, "coop: lr: Input should be a valid number"),
        ("coop", {"lr": -1}, "coop: lr: Input should be greater than or equal to 0"),
        ("coop", {"lr": float("nan")}, "coop: lr: Input should be a finite number"),
        ("coop", {"lr": "inf"}, "coop: lr: Input should be a finite number"),
        ("coop", {"warmup_lr": float("inf")}, "coop: warmup_lr: Input should be a finite number"),
        ("coop", {"batch_size": 0}, "coop: batch_size: Input should be greater than or equal to 1"),
        ("coop", {"epochs": -3}, "coop: epochs: Input should be greater than or equal to 1"),
        ("coop", {"n_ctx": 4.5}, "coop: n_ctx: Input should be a valid integer"),
        ("coop", {"momentum": 1}, "coop: momentum: Input should be less than 1"),
        ("coop", {"ctx_init": 5}, "coop: ctx_init: Input should be a valid string"),
        ("promptsrc", {"gpa_std": 0}, "promptsrc: gpa_std: Input should be greater than 0"),
        ("lasp", {"templates": 81}, "lasp: templates: Input should be less than or equal to 80"),
        ("kgcoop", {"weight": -1}, "kgcoop: weight: Input should be greater than or equal to 0"),
        ("fdbpl", {"informative_by": "luck"}, "fdbpl: informative_by: Input should be 'top' or 'entropy'"),
        ("fdbpl", {"top_k": 0}, "fdbpl: top_k: Input should be greater than or equal to 1"),
        (
            "fdbpl",
            {f"{part}_weight": 0 for part in "label positive negative difference intra inter".split()},
            "fdbpl: the file: one of the weights of the loss must be above 0",
        ),
        ("promptkd", {"batch_size": 1}, "promptkd: batch_size: Input should be greater than or equal to 2"),
        ("coop", {"n_ctx": 100}, "coop: 100 text tokens leave no room .* ViT-B-16 holds 77 tokens"),
        ("coop", {"n_ctx": 74}, "coop: 74 text tokens leave no room"),
        ("maple", {"prompt_depth": 50}, "maple: prompt_depth is 50, but the text tower of ViT-B-16 has 12"),
        ("promptkd", {"prompt_depth": 13}, "promptkd: prompt_depth is 13, but the image tower of ViT-B-16"),
    ],
)
def test_values_that_are_refused(method, own, message):
    with pytest.raises(UserError, match=message):
        checked([method], **{method: own})


def test_values_that_fit():
    checked(["coop"], coop={"n_ctx": "73", "lr": "1e-3", "epochs": "7"})  # the command line gives strings
    checked(["maple"], maple={"prompt_depth": 12})
    checked(["coop", "linear_probe", "zero_shot"], RESNET, protocols=["few_shot"])


def test_what_other_methods_need_is_checked_with_them():
    """The boosting prompt, its tokens beside a method's own, a tuned teacher; else they do not matter."""
    with pytest.raises(UserError, match="boosting: prompt_depth is 13"):
        checked(["coop+caspl"], boosting={"prompt_depth": 13})
    with pytest.raises(
        UserError, match=r"coop\+caspl: 78 text tokens, 8 of a boosting prompt included, leave"
    ):
        checked(["coop+caspl"], coop__caspl={"n_ctx": 70})
    with pytest.raises(
        UserError, match="promptkd_teacher: prompt_depth is 13, but the text tower of ViT-L-14"
    ):
        checked(["promptkd"], promptkd_teacher={"prompt_depth": 13})
    checked(
        ["coop"], coop={"n_ctx": 70}, boosting={"prompt_depth": 13}, promptkd_teacher={"prompt_depth": 13}
    )


@pytest.mark.parametrize("method", ["maple", "ivlp", "promptsrc", "fdbpl", "coop+caspl"])
def test_vision_tokens_on_a_resnet(method):
    with pytest.raises(UserError, match="the image tower of RN50 takes no prompt tokens: use a text-only"):
        checked([method], RESNET)
    checked(["cocoop"], RESNET)


def test_an_override_of_one_protocol(tmp_path):
    own = merged(DEFAULT, {"protocols": {"few_shot": {"overrides": {"coop": {"lr": "fast"}}}}})
    with pytest.raises(UserError, match="hyper-parameters of coop: lr: Input should be a valid number"):
        Experiment.checked(own, CONFIG_DIR)


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        ("weights/ViT-B-16.pt", "there is no such file"),
        ("ViT-B-16.pt", "there is no such file"),
        (str(CONFIG_DIR) + "/", "it is a folder"),
    ],
)
def test_weights_that_are_not_there(pretrained, message):
    with pytest.raises(UserError, match=f"The weights {pretrained} of ViT-L-14 cannot be read: {message}"):
        checked(["coop"], {**REAL, "teacher": {"model": "ViT-L-14", "pretrained": pretrained}})


def test_an_unknown_model():
    with pytest.raises(UserError, match=r"knows no model 'ViT-B-17' .did you mean"):
        checked(["coop"], {**REAL, "student": {"model": "ViT-B-17", "pretrained": "openai"}})


OWN = '''"""A method whose schema takes more of its module than a class."""

{imports}
import math
from typing import Literal

from pydantic import Field, field_validator

from ..clip.prompts import random_prompt
from .coop import CoOp, CoOpConfig as Shared

_MOST = int(10 * math.tau)


def _even(number):
    return number % 2 == 0


class OwnConfig(Shared):
    """Hyper-parameters of one method."""

    turns: int = Field(ge=0, le=_MOST)
    way: Literal["left", "right"] = {default}

    @field_validator("turns")
    @classmethod
    def _is_even(cls, turns: int) -> int:
        if not _even(turns):
            raise ValueError("must be even")
        return turns


class Own(CoOp):
    """A method."""

    Config = OwnConfig
'''


@pytest.mark.parametrize(
    "imports", ["", "from __future__ import annotations", "import torch.nn.functional as F"]
)
@pytest.mark.parametrize("default", ['"left"', '"right" if random_prompt else "left"'])
def test_a_method_of_ones_own(imports, default, tmp_path, monkeypatch):
    """Names that no other method has; a default that takes an import of torch is no obstacle."""
    folder = tmp_path / "promptdistill/methods"
    source = Path(hyperparameters.__file__).with_name("methods")
    folder.mkdir(parents=True)
    for path in source.glob("*.py"):
        (folder / path.name).write_text(path.read_text())
    (folder / "own.py").write_text(OWN.format(imports=imports, default=default))
    monkeypatch.setattr(hyperparameters, "_ROOT", folder.parent)
    hyperparameters.schema.cache_clear()
    schema = hyperparameters.schema("methods.own")
    hyperparameters.schema.cache_clear()
    assert schema.model_validate(
        {**read_yaml(CONFIG_DIR / "methods/coop.yaml")["hyperparameters"], "turns": 2}
    )
    for wrong, message in ((3, "must be even"), (64, "less than or equal to 62")):
        with pytest.raises(ValueError, match=message):
            schema.model_validate({"turns": wrong})


def test_a_method_without_a_module(tmp_path):
    entry = read_yaml(CONFIG_DIR / "methods/coop.yaml")
    for path in CONFIG_DIR.glob("*/*.yaml"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_text(path.read_text())
    (tmp_path / "methods/mine.yaml").write_text(yaml.safe_dump(entry))
    with pytest.raises(UserError, match="There is no method 'mine'"):
        Experiment.checked({**DEFAULT, "methods": ["coop", "mine"]}, tmp_path)
