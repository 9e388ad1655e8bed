"""Two ways to train the same method on the same regions: ours, and as published (benchmarks/plain).

Both load a batch, compute the loss, its gradients and one SGD step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plain import methods as plain
from plain.pictures import read_regions
from plain.plugins import PLUGINS
from promptdistill.artifacts import MANIFEST
from promptdistill.clip.architecture import read_architecture
from promptdistill.clip.backbone import Backbone, load_backbone
from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.prompts import DeepPrompt
from promptdistill.compat import import_open_clip
from promptdistill.config.entries import load_method, load_plugin, load_settings
from promptdistill.config.models import BackboneConfig, LookupConfig, Precision, Regions
from promptdistill.data.images import draw_region, normalise, open_image
from promptdistill.data.splits import Item
from promptdistill.features.lookup import RegionLookup
from promptdistill.features.lookup_build import Build, Encoder, build_student_lookup, build_teacher_lookup
from promptdistill.features.region_build import store_regions
from promptdistill.features.region_store import open_store
from promptdistill.methods import Method, make_method, parse_hyperparameters
from promptdistill.methods.base import Batch, MethodContext
from promptdistill.planning.flops import ComputeCost
from promptdistill.run import MethodParts, family
from promptdistill.training.batches import Pick, PickedRegions, load_batches, name_batches

CONFIG_DIR = Path(__file__).parents[1] / "config"
TEMPLATE = "a photo of a {}."
PLAIN = {
    "boosting": plain.Boosting,
    "coop": plain.CoOp,
    "cocoop": plain.CoCoOp,
    "maple": plain.MaPLe,
    "promptsrc": plain.PromptSRC,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured: a method with its published hyper-parameters, on some images and classes.

    `steps` batches go through the `images` again and again, with a new region of each image every time.
    `boosting` is a frozen prompt that the method is cascaded on; `overrides` replace hyper-parameters.
    """

    method: str
    classes: int
    images: tuple[Path, ...]
    steps: int
    student: str
    teacher: str
    device: str
    threads: int
    precision: Precision
    boosting: DeepPrompt | None = None
    overrides: dict = field(default_factory=dict)

    @cached_property
    def hyperparameters(self) -> dict:
        """Of config/methods and config/plugins."""
        own: dict[str, Any] = {}
        for settings in load_settings(self.method, CONFIG_DIR):
            own |= settings.on("", self.boosting is not None)
        return own | self.overrides

    @property
    def batch_size(self) -> int:
        """Images of a step."""
        return self.hyperparameters["batch_size"]

    @property
    def asks_teacher(self) -> bool:
        """Whether training needs a teacher's answers."""
        plugin = load_plugin(self.method, CONFIG_DIR)
        return bool(plugin) or self.method == "boosting" or load_method(self.method, CONFIG_DIR).asks_teacher

    @property
    def gflop(self) -> float:
        """Operations of a step of ours in billions, as `promptdistill plan` counts them."""
        model, entry = read_architecture(self.student), load_method(self.method, CONFIG_DIR)
        cost = ComputeCost.of(entry, self.fitting_hyperparameters)
        return cost.step(model, self.classes, self.batch_size) / 1e9

    @property
    def fitting_hyperparameters(self) -> dict:
        """With no more layers than the student has: small models have fewer than the published depths."""
        model = read_architecture(self.student)
        depth = self.hyperparameters.get("prompt_depth")
        fewest = min(model.text.layers, model.image.layers)
        return self.hyperparameters | ({"prompt_depth": min(depth, fewest)} if depth else {})

    @property
    def drawn(self) -> Regions:
        """As many random regions of each image as are seen."""
        visits = math.ceil(self.steps * self.batch_size / len(self.images))
        return Regions(count=visits)

    @property
    def class_names(self) -> list[str]:
        """The first names of ImageNet's classes."""
        return import_open_clip().IMAGENET_CLASSNAMES[: self.classes]

    @cached_property
    def items(self) -> list[Item]:
        """The images, with labels."""
        return [Item(str(path), n % self.classes, "") for n, path in enumerate(self.images)]

    def picks(self, step: int) -> list[Pick]:
        """Image and region numbers of one batch."""
        visits = (
            divmod(number, len(self.images))
            for number in range(step * self.batch_size, (step + 1) * self.batch_size)
        )
        return [(image, visit) for visit, image in visits]

    def start(self, **looked_up: Any) -> Method:
        """The method with its initial prompt, which is the same at every call."""
        context = MethodContext(
            backbone=backbone(self.student, self.device, self.precision),
            class_names=self.class_names,
            template=TEMPLATE,
            config=parse_hyperparameters(self.method, self.fitting_hyperparameters),
            generator=torch.Generator().manual_seed(1),
            frozen=[self.boosting] if self.boosting else [],
            **looked_up,
        )
        return make_method(self.method, context)


@cache
def backbone(model: str, device: str, precision: Precision) -> Backbone:
    """A model with random weights and the logit scale of trained ones."""
    loaded = load_backbone(BackboneConfig(model=model, pretrained="random"), device, precision)
    with torch.no_grad():
        loaded.model.logit_scale.fill_(math.log(100))
    return loaded


@cache
def frozen_text(model: str, device: str, precision: Precision, classes: int) -> Tensor:
    """PromptSRC's frozen text features (classes, D): computed once before training, in both ways."""
    case = Case(
        method="promptsrc",
        classes=classes,
        images=(),
        steps=1,
        student=model,
        teacher="",
        device=device,
        threads=1,
        precision=precision,
    )
    return case.start().frozen_text


def teacher_lookup(case: Case, folder: Path) -> RegionLookup:
    """The teacher's answers for the case's regions, below `folder`; built at the first call."""
    if not (folder / "teacher" / MANIFEST).exists():
        teacher = backbone(case.teacher, case.device, case.precision)
        build = _build(case, Encoder(clip=PromptedClip(teacher, [])), folder / "teacher")
        build_teacher_lookup(build, TEMPLATE, case.class_names)
    return RegionLookup(folder / "teacher")


def _build(case: Case, encoder: Encoder, folder: Path) -> Build:
    return Build(
        items=case.items,
        image_folder=Path(),
        encoder=encoder,
        regions=case.drawn,
        config=LookupConfig(dtype="float32"),  # exact, so that nothing but the way differs
        folder=folder,
    )


def learning_of(method: Method) -> dict[str, Tensor]:
    """What learns, by name: the prompt, and the negative tokens of a plug-in."""
    negative = getattr(method.objective, "negative", None)
    own = {} if negative is None else {"negative": negative.text[0]}
    return dict(method.prompt.named_parameters()) | own


class Ours:
    """Stored regions, looked-up features, and the towers that compute only what is read.

    `folder` takes the stores; trainings on the same images share them.
    """

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.folder = folder
        self.student = backbone(case.student, case.device, case.precision)
        self.method = case.start(**self._looked_up())
        if family(case.method) == "promptsrc":
            self.method.frozen_text = frozen_text(case.student, case.device, case.precision, case.classes)
        self.learning = learning_of(self.method)
        size, store = self.student.size, None
        if self.method.needs_pixels:
            store_regions(case.items, Path(), case.drawn, size, 100, folder / "regions")
            store = open_store(folder / "regions", case.items, case.drawn, size)
        self.dataset = PickedRegions(case.items, Path(), case.drawn, size, store)

    def _looked_up(self) -> dict[str, RegionLookup]:
        case = self.case
        found = {"teacher": teacher_lookup(case, self.folder)} if case.asks_teacher else {}
        kind = load_method(case.method, CONFIG_DIR).looks_up
        if kind is None:
            return found
        cascade = [case.boosting] if case.boosting and kind == "cascade" else []
        name = "boosted" if cascade else "plain"
        if not (self.folder / name / MANIFEST).exists():  # features are shared by all methods
            encoder = Encoder(clip=PromptedClip(self.student, cascade))
            build_student_lookup(_build(case, encoder, self.folder / name))
        return {**found, f"{kind}_features": RegionLookup(self.folder / name)}

    def load(self, step: int) -> Batch:
        """The batch of one step, on the device."""
        picks = [self.case.picks(step)]
        needs = self.method.needs_pixels
        batch = next(load_batches(self.dataset, picks, 0) if needs else name_batches(self.case.items, picks))
        batch = batch._replace(labels=batch.labels.to(self.student.device))
        if batch.pixels is None:
            return batch
        pixels = batch.pixels.to(self.student.device)
        return batch._replace(pixels=normalise(pixels, self.student.mean, self.student.std))

    def loss(self, batch: Batch) -> Tensor:
        """The batch's loss."""
        return self.method.loss(batch)


class Plain:
    """Image files, a teacher online, and whole towers for every class, at every step."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.student = backbone(case.student, case.device, case.precision)
        method = case.start()
        self.learning = {
            name: value.detach().clone().requires_grad_() for name, value in learning_of(method).items()
        }
        base, plugin = family(case.method), MethodParts.of(case.method).plugin
        options = {"boosting": dict(case.boosting.state_dict())} if case.boosting else {}
        if base == "maple":
            options["fixed_words"] = method.prompt.fixed_words
        if base == "promptsrc":
            options["frozen_text"] = frozen_text(case.student, case.device, case.precision, case.classes)
        asking: dict[str, Any] = {}
        if case.asks_teacher:
            teacher = backbone(case.teacher, case.device, case.precision)
            asking = {"teacher": teacher.model, "teacher_tokenizer": teacher.tokenizer}
            asking["template"] = TEMPLATE
        if not plugin:
            options |= asking
        arguments = (self.student.model, self.student.tokenizer, case.class_names, self.learning)
        self.method = PLAIN[base](*arguments, **options)
        if plugin == "fdbpl":
            asking["negative"] = self.learning.get("negative")
            asking["by_batch"] = case.hyperparameters["confidence"] == "batch"
        if plugin:
            self.method = PLUGINS[plugin](self.method, **asking)
        self.sizes = [open_image(path).size for path in case.images]

    def load(self, step: int) -> tuple[Tensor, Tensor]:
        """Pixels and labels of one step, on the device."""
        student, items = self.student, self.case.items
        picks = self.case.picks(step)
        drawn = [draw_region(items[n].path, crop, self.case.drawn, self.sizes[n]) for n, crop in picks]
        files = [Path(items[n].path) for n, _ in picks]
        pixels = read_regions(files, drawn, student.size, student.mean, student.std)
        labels = torch.tensor([items[n].label for n, _ in picks])
        return pixels.to(student.device), labels.to(student.device)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The batch's loss."""
        with self.student.autocast():
            return self.method.loss(*batch)


WAYS: dict[str, Callable[[Case, Path], Ours | Plain]] = {"plain": Plain, "ours": Ours}
