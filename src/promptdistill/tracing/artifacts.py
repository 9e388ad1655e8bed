"""What predictions, prompts and lookups say that they were made from, followed down to splits and draws.

Artifacts record hashes and not paths, so that the same work gives the same bytes in any folder.  The paths
are those of the workflow's layout; whether the right file lies there is for the hash to say.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import layout
from ..clip.prompt_file import Header, load_prompt
from ..config import Config, Training
from ..errors import UserError
from ..evaluation.metrics import read_predictions
from ..features.lookup import CLASSIFIER, MANIFEST, Manifest
from ..files import read_json, sha256
from .files import TracedFile


@dataclass(frozen=True, kw_only=True)
class Tracer:
    """Finds the files of an experiment below its folder of results."""

    config: Config
    config_dir: Path
    _known: dict[Path, str] = field(default_factory=dict)  # SHA-256: one lookup serves many runs

    @property
    def root(self) -> Path:
        """The folder of results."""
        return Path(self.config.results)

    def file(self, what: str, path: Path, recorded: str | None) -> TracedFile:
        """A file as it lies here now, without its inputs."""
        if path not in self._known and path.is_file():
            self._known[path] = sha256(path)
        return TracedFile(what=what, path=str(path), recorded=recorded, found=self._known.get(path))

    def predictions(self, path: Path, recorded: str) -> TracedFile:
        """A file of predictions: made from a split, looked-up features, and a prompt."""
        file = self.file("predictions", path, recorded)
        if not file.fits:
            return file
        _, origin = read_predictions(path)
        inputs = []
        if "split_sha256" in origin:
            inputs.append(self._split(origin["dataset"], origin["split_sha256"]))
        if origin["prompt_sha256"]:
            place = layout.ADAPTING.format(**origin | {"dataset": origin["source"]})
            prompt = self.root / place / f"{layout.RUN.format(**origin)}.safetensors"
            inputs.append(self.prompt("prompt", prompt, origin["prompt_sha256"]))
        if origin.get("features_sha256"):
            inputs.append(self._test_features(origin))
        facts = ("student", "student_sha256", "transductive", "versions")
        return _with(file, {key: origin[key] for key in facts}, inputs)

    def prompt(self, what: str, path: Path, recorded: str) -> TracedFile:
        """A prompt: made from a split, a draw, a boosting prompt, and what was looked up."""
        file = self.file(what, path, recorded)
        if not file.fits:
            return file
        _, header = load_prompt(path)
        inputs = [self._split(header.dataset, header.split_sha256)]
        if header.draw_sha256:
            draw = layout.DRAW.format(dataset=header.dataset, shots=header.shots, seed=header.seed)
            inputs.append(self.file("few-shot draw", self.root / draw, header.draw_sha256))
        if header.boosting_sha256:
            kind = layout.boosting_kind(header.protocol)
            inputs.append(self._boosting(header.dataset, kind, header.boosting_sha256))
        if header.draw_sha256 and header.lookup_sha256:
            inputs.append(self._draw_features(header))
        elif header.lookup_sha256:
            inputs.append(self._answers(header, header.lookup_sha256, tuned=header.phase != "boosting"))
        if header.teacher_sha256:
            inputs.append(self._answers(header, header.teacher_sha256, tuned=False))
        facts = header.model_dump(
            include={"method", "dataset", "protocol", "shots", "seed", "hyperparameters", "versions"}
        )
        return _with(file, facts, inputs)

    def _split(self, dataset: str, recorded: str) -> TracedFile:
        return self.file("split", self.root / layout.SPLIT.format(dataset=dataset), recorded)

    def _boosting(self, dataset: str, kind: str, recorded: str) -> TracedFile:
        path = self.root / layout.BOOSTING.format(dataset=dataset, kind=kind)
        return self.prompt("boosting prompt", path, recorded)

    def _about(self, header: Header) -> dict[str, Any]:
        """What the paths of a training's lookups are made of."""
        crops = layout.name_of_regions(header.regions, self.config)
        return header.model_dump(include={"dataset", "protocol", "shots", "seed"}) | {"crops": crops}

    def _draw_features(self, header: Header) -> TracedFile:
        """The student's features of a draw that a training looked up."""
        kind = layout.feature_kind(header.method, self.config_dir, header.protocol)
        folder = layout.DRAW_FEATURES.format(**self._about(header), kind=kind)
        seen_with = self._seen_with(header.dataset, kind)
        return self._manifest("features of the draw", folder, header.lookup_sha256, seen_with)

    def _answers(self, header: Header, recorded: str, *, tuned: bool) -> TracedFile:
        """The answers that a training looked up of a teacher, tuned or as it is."""
        about, teacher, prompt = self._about(header), "zero_shot", None
        if tuned:
            teacher = layout.TUNED.format(**about)
            source = (
                self.config.protocols.transfer.source if header.protocol == "transfer" else header.dataset
            )
            prompt = ("tuned teacher's prompt", layout.TEACHER_PROMPT.format(**about | {"dataset": source}))
        return self._manifest("lookup", layout.LOOKUP.format(**about, teacher=teacher), recorded, prompt)

    def _test_features(self, origin: dict[str, Any]) -> TracedFile:
        training: Training = origin["protocol"]
        kind = layout.feature_kind(origin["method"], self.config_dir, training)
        folder = layout.TEST_FEATURES.format(dataset=origin["dataset"], kind=kind)
        seen_with = self._seen_with(origin["source"], kind)
        return self._manifest("features of the test images", folder, origin["features_sha256"], seen_with)

    def _seen_with(self, dataset: str, kind: str) -> tuple[str, str] | None:
        """The boosting prompt that images were encoded with, if they were: what it is, and its path."""
        if kind == "plain":
            return None
        return "boosting prompt", layout.BOOSTING.format(dataset=dataset, kind=kind)

    def _manifest(self, what: str, folder: str, recorded: str, prompt: tuple[str, str] | None) -> TracedFile:
        """A lookup: its shards, and the frozen prompt of its encoder, whose kind and path `prompt` gives."""
        path = self.root / folder / MANIFEST
        file = self.file(what, path, recorded)
        if not file.fits:
            return file
        manifest = _read_manifest(path)
        inputs = [self.file("shard", path.with_name(shard.file), shard.sha256) for shard in manifest.shards]
        if manifest.classifier:
            inputs.append(self.file("classifier", path.with_name(CLASSIFIER), manifest.classifier.sha256))
        if manifest.origin.prompt_sha256 and prompt:
            kind, place = prompt
            inputs.append(self.prompt(kind, self.root / place, manifest.origin.prompt_sha256))
        return _with(file, manifest.origin.model_dump(), inputs)


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError:
        raise UserError(f"{path} is not a lookup manifest: build the lookup again.") from None


def _with(file: TracedFile, facts: dict[str, Any], inputs: list[TracedFile]) -> TracedFile:
    return file.model_copy(update={"facts": facts, "inputs": inputs})
