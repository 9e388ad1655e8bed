"""Image files to measure with: real ones where they lie beside the checkout, else generated ones."""

from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

SHARED = Path(__file__).parents[2] / "shared/data"


def real_folders() -> list[Path]:
    """Folders of real data sets, if there are any."""
    return sorted(path for path in SHARED.glob("*") if path.is_dir())


def image_files(folder: Path) -> list[Path]:
    """All .jpg and .png files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})


def some_images(count: int, scratch: Path) -> list[Path]:
    """`count` JPEG files: real ones, from each data set in turn, or ones generated in `scratch`."""
    of_folder = [files for folder in real_folders() if (files := image_files(folder))]
    if not of_folder:
        return image_files(generate(scratch / "generated", count))
    in_turn = [path for row in zip_longest(*of_folder) for path in row if path is not None]
    return in_turn[:count]


def generate(folder: Path, images: int) -> Path:
    """Write JPEG images of 500 x 375 pixels of noise with a photograph's falling spectrum."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(images):
        pixels = np.full((375, 500, 3), 128.0)
        for cells in (3, 6, 12, 25, 50, 100, 200):
            noise = Image.fromarray(generator.integers(256, size=(cells, cells, 3), dtype=np.uint8))
            pixels += (np.asarray(noise.resize((500, 375), Image.Resampling.BICUBIC)) - 128.0) * cells**-0.5
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=90)
    return folder
