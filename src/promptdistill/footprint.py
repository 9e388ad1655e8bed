"""What a job needs of a machine, by the size of the model it loads: memory and time.

Estimates for a scheduler, on the safe side, and no part of any result. A transformer of width w has
12 w² parameters a layer (4 w² attention, 8 w² feed-forward); its arithmetic on an image is proportional
to the parameters times the tokens. Memory and time are those of ViT-B/16, scaled by these two numbers.
"""

import importlib.util
import json
from functools import cache
from pathlib import Path

from .config import BackboneConfig
from .miniature import MODELS

REFERENCE = "ViT-B-16"
BASE_MB = 2000  # of any job: Python, torch, and a few images
REFERENCE_MB = 14000  # more with the reference and up to a thousand classes
BASE_MINUTES = 15  # of any job: starting up, on a slow file system


def memory_mb(backbone: BackboneConfig) -> int:
    """Main memory, in MB, of a job that loads a model: 16000 for ViT-B/16."""
    return BASE_MB + round(REFERENCE_MB * parameters(backbone.model) / parameters(REFERENCE))


def minutes(backbone: BackboneConfig, hours: float) -> int:
    """The minutes that a job may take with a model, if it takes at most `hours` with ViT-B/16."""
    return BASE_MINUTES + round(60 * hours * image_work(backbone.model) / image_work(REFERENCE))


def parameters(model: str) -> int:
    """About how many parameters both towers have together: 148 million for ViT-B/16."""
    vision, text = _towers(model)
    words = text["vocab_size"] * text["width"]
    return _layers(vision) + _layers(text) + words


def image_work(model: str) -> int:
    """What encoding one image costs, in parameters x tokens."""
    vision, _ = _towers(model)
    tokens = (vision["image_size"] // vision["patch_size"]) ** 2 + 1  # patches, and the class token
    return _layers(vision) * tokens


def _layers(tower: dict) -> int:
    return 12 * tower["width"] ** 2 * tower["layers"]


@cache
def _towers(model: str) -> tuple[dict, dict]:
    """The image and the text tower in a model's configuration file.

    What has none, or no plain ViT, counts as the reference: ResNets, and models of other sources.
    """
    package = importlib.util.find_spec("open_clip")  # found and not imported: that takes seconds
    for folder in (MODELS, Path(package.origin).parent / "model_configs"):
        file = folder / f"{model}.json"
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            vision, text = content["vision_cfg"], content["text_cfg"]
            if isinstance(vision.get("layers"), int) and "patch_size" in vision and "width" in text:
                return vision, text
    return _towers(REFERENCE)
