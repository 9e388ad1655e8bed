"""A teacher's text features of a vocabulary, whose names stand in for a data set's in training."""

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..artifacts import Sources
from ..clip.backbone import Backbone
from ..clip.prompted import PromptedClip
from ..clip.templates import template_features
from ..errors import UserError
from .lookup import Classifier, read_classifier, write_classifier
from .shards import Manifest, read_manifest, write_manifest

TEMPLATE = "a photo of a {}."  # KDPL, published code: for class-agnostic training, whatever the data set
_AT_A_TIME = 1024


class VocabularyManifest(Manifest):
    """The content of manifest.json; it lists no shards."""

    format: Literal[1] = 1
    encoder_sha256: str
    classifier: Classifier


class Vocabulary(NamedTuple):
    """Names, and the teacher's normalised text features (names, D) of them."""

    names: list[str]
    text: Tensor


@torch.no_grad()
def build_vocabulary(teacher: Backbone, names: list[str], folder: Path, sources: Sources) -> None:
    """Write the teacher's text features of `names`, and what they were made from."""
    clip = PromptedClip(teacher, [])
    parts = [names[start : start + _AT_A_TIME] for start in range(0, len(names), _AT_A_TIME)]
    text = torch.cat([template_features(clip, TEMPLATE, part) for part in parts])
    classifier = write_classifier(folder, text, TEMPLATE, names, float(teacher.logit_scale))
    about = {"encoder_sha256": teacher.weights_sha256, "classifier": classifier, "shards": []}
    write_manifest(folder, VocabularyManifest(**about, **sources.header()))


def open_vocabulary(folder: Path, encoder_sha256: str) -> Vocabulary:
    """Read a vocabulary; UserError if it is damaged, or of another teacher than `encoder_sha256`'s."""
    manifest = read_manifest(VocabularyManifest, folder, "a vocabulary")
    if manifest.encoder_sha256 != encoder_sha256:
        raise UserError(f"The vocabulary {folder} is of another teacher than the answers: build it again.")
    return Vocabulary(manifest.classifier.class_names, read_classifier(folder, manifest.classifier))
