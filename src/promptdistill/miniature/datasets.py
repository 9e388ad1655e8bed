"""The data sets of the miniature benchmark: class lists, and their files in the published layout.

Each data set is a folder of PNG files, one subfolder a class, with a `split_zhou_*.json` beside it,
exactly what the published data sets look like on disk.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from ..code import fingerprint
from ..errors import UserError
from ..files import read_json, write_json
from ..validation import did_you_mean
from .pictures import COLOURS, FILLS, PATTERNS, SHAPES, STYLES, Subject, draw

TRAIN, VAL, TEST = 32, 4, 40  # pictures per class and part
_COLOURS = list(COLOURS)


@dataclass(frozen=True, kw_only=True, slots=True)
class MiniatureDataset:
    """How the pictures of one data set are drawn.

    `classes` maps a class name to the attributes that it fixes; the others vary from picture to
    picture.  `styles` are drawn from uniformly.  A variant has only test pictures.
    """

    seed: int
    classes: dict[str, dict[str, str]]
    styles: tuple[str, ...] = ("photo",)
    variant: bool = False

    def subject(self, class_name: str, rng: np.random.Generator) -> Subject:
        """Draw a description of one picture of `class_name`."""
        fixed = self.classes[class_name]
        style = self.styles[rng.integers(len(self.styles))]
        free = {
            "colour": _COLOURS[rng.integers(len(_COLOURS))],
            "texture": "plain" if style == "sketch" else FILLS[rng.integers(len(FILLS))],
        }
        return Subject(**{**free, **fixed}, style=style)

    def picture(self, class_name: str, *seed: int) -> Image.Image:
        """Draw one picture of `class_name`, from a generator of this seed."""
        rng = np.random.default_rng(seed)
        return draw(self.subject(class_name, rng), rng)


def _shuffled(names: list[dict[str, str]], seed: int) -> dict[str, dict[str, str]]:
    """Attribute sets in random order under the class names that they spell."""
    order = np.random.default_rng(seed).permutation(len(names))
    return {" ".join(names[i].values()): names[i] for i in order}


def _shapes(seed: int) -> dict[str, dict[str, str]]:
    return _shuffled([{"shape": shape} for shape in SHAPES], seed)


def _combinations(seed: int, count: int, **choices: list[str]) -> dict[str, dict[str, str]]:
    """`count` random combinations of attributes, such as {"texture": "striped", "colour": "red"}."""
    everything = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
    return dict(list(_shuffled(everything, seed).items())[:count])


DATASETS: dict[str, MiniatureDataset] = {
    "mini_shapes": MiniatureDataset(seed=1, classes=_shapes(1)),
    "mini_emblems": MiniatureDataset(
        seed=2,
        classes=_combinations(
            2,
            24,
            texture=["plain", "striped", "dotted", "checkered"],
            colour=["red", "yellow", "green", "blue", "purple"],
            shape=["star", "heart", "moon", "cross", "arrow", "bow"],
        ),
        styles=("photo", "noisy", "mosaic"),
    ),
    "mini_patterns": MiniatureDataset(
        seed=3,
        classes=_shuffled([{"texture": texture} for texture in PATTERNS], 3),
        styles=("photo", "noisy", "night"),
    ),
    "mini_sketches": MiniatureDataset(seed=4, classes=_shapes(4), styles=("sketch",)),
    "mini_night": MiniatureDataset(
        seed=5,
        classes=_combinations(
            5,
            20,
            colour=["red", "orange", "yellow", "green", "blue", "pink", "white"],
            shape=["circle", "square", "triangle", "ring", "house", "flower", "bolt", "drop"],
        ),
        styles=("night",),
    ),
    **{
        f"mini_shapes_{style}": MiniatureDataset(
            seed=10 + STYLES.index(style), classes=_shapes(1), styles=(style,), variant=True
        )
        for style in ("sketch", "noisy", "mosaic")
    },
}


def write(name: str, folder: Path) -> Path:
    """Draw data set `name` into `folder`, unless it is there; return the path of its split file.

    The record of the drawing code is written last: a folder that has it is complete, and is drawn
    again when that code has changed.
    """
    if name not in DATASETS:
        raise UserError(f"There is no miniature data set {name!r}{did_you_mean(name, list(DATASETS))}.")
    recipe = DATASETS[name]
    split, record = folder / f"split_zhou_{name}.json", folder / "drawn_by.json"
    drawn_by = {"code_sha256": fingerprint("miniature.datasets")}
    if record.is_file() and split.is_file() and read_json(record) == drawn_by:
        return split
    record.unlink(missing_ok=True)
    parts: dict[str, list[list]] = {"train": [], "val": [], "test": []}
    per_class = [("test", TEST)] if recipe.variant else [("train", TRAIN), ("val", VAL), ("test", TEST)]
    for label, class_name in enumerate(recipe.classes):
        slug = class_name.replace(" ", "_")
        (folder / "images" / slug).mkdir(parents=True, exist_ok=True)
        for index, part in enumerate(part for part, count in per_class for _ in range(count)):
            path = f"{slug}/{slug}_{index:04d}.png"
            recipe.picture(class_name, recipe.seed, label, index).save(folder / "images" / path)
            parts[part].append([path, label, class_name])
    write_json(split, parts)
    write_json(record, drawn_by)
    return split
