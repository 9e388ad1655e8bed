"""What a job asks a scheduler for, by the size of the model that it loads: memory and time.

Bounds on the safe side, and no part of any result.  A transformer of width w has 12 w² parameters a layer
(4 w² attention, 8 w² MLP).  Memory and time are those of ViT-B/16, scaled by parameters and by operations.
"""

from contextlib import suppress
from functools import cache

from ..clip.architecture import Architecture, read_architecture
from ..config.models import BackboneConfig
from ..errors import UserError
from .flops import image_flops

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
    """About how many parameters both towers have together: 150 million for ViT-B/16."""
    shape = _plain_vit(model)
    layers = sum(12 * tower.width**2 * tower.layers for tower in (shape.image, shape.text))
    return layers + shape.vocabulary * shape.text.width


def image_work(model: str) -> float:
    """What encoding one image costs, in operations."""
    return image_flops(_plain_vit(model)).forward


@cache
def _plain_vit(model: str) -> Architecture:
    """The shape of a model; that of the reference for a ResNet, and for what open_clip does not ship."""
    with suppress(UserError):
        if (shape := read_architecture(model)).image:
            return shape
    return read_architecture(REFERENCE)
