"""Disk, building time and loading time of four ways to hand random crops of images to a training step.

files       the image is decoded at each use, as in the published training
decoded     every image's pixels, decoded once, in one memory-mapped file; a use crops and resizes
crops_raw   some crops of each image as pixels in one memory-mapped file; a use copies one
crops_jpeg  the same crops as JPEG bytes: smaller, but lossy

Times are of one thread with every page in memory; building ends when the file is written, not synced.
Run: .venv/bin/python benchmarks/region_pixels.py
"""

import io
import os
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from pictures import generate, image_files, real_folders
from promptdistill.config.models import Regions
from promptdistill.data.images import Region, draw_region, open_image, region_pixels

SIZE = (224, 224)
REGIONS = Regions()
CROPS = (5, 20)  # crops kept of each image; the last is the number that is timed
QUALITY = 95
USES = 300
PASSES = 7
OUTPUT = Path("results/benchmarks/region_pixels.csv")

Use = Callable[[int, int], Tensor]  # numbers of an image and its crop to uint8 pixels (3, H, W)


def pack(path: Path, chunks: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Write uint8 arrays to one file; returns each of them, in its shape, as a view of the file's map."""
    shapes = []
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk.tobytes())
            shapes.append(chunk.shape)
    # Slices of a np.memmap cost more than those of a plain array on the same memory.
    pixels = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(pixels, ends[:-1]), shapes, strict=True)]


def image_crops(folder: Path, name: str, crops: Iterable[int]) -> Tensor:
    """uint8 pixels (crops, 3, H, W) of random regions of one image, decoded once."""
    image = open_image(folder / name)
    drawn = [draw_region(name, crop, REGIONS, image.size) for crop in crops]
    return torch.stack([region_pixels(image, region, SIZE) for region in drawn])


def files(folder: Path, names: list[str], crops: int, store: Path) -> Use:
    """Decode the image at each use; nothing is built."""

    def use(number: int, crop: int) -> Tensor:
        image = open_image(folder / names[number])
        return region_pixels(image, draw_region(names[number], crop, REGIONS, image.size), SIZE)

    return use


def decoded(folder: Path, names: list[str], crops: int, store: Path) -> Use:
    """Keep every image's pixels (H, W, 3)."""
    images = pack(store, (np.asarray(open_image(folder / name)) for name in names))

    def use(number: int, crop: int) -> Tensor:
        image = images[number]
        x, y, w, h, flip = draw_region(names[number], crop, REGIONS, (image.shape[1], image.shape[0]))
        return region_pixels(Image.fromarray(image[y : y + h, x : x + w]), Region(0, 0, w, h, flip), SIZE)

    return use


def crops_raw(folder: Path, names: list[str], crops: int, store: Path) -> Use:
    """Keep the pixels (crops, 3, H, W) of the first crops of each image."""
    kept = pack(store, (image_crops(folder, name, range(crops)).numpy() for name in names))
    return lambda number, crop: torch.from_numpy(kept[number][crop].copy())


def crops_jpeg(folder: Path, names: list[str], crops: int, store: Path) -> Use:
    """Keep the JPEG bytes of the first crops of each image."""

    def jpeg(pixels: Tensor) -> np.ndarray:
        buffer = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=QUALITY)
        return np.frombuffer(buffer.getvalue(), dtype=np.uint8)

    kept = pack(store, (jpeg(crop) for name in names for crop in image_crops(folder, name, range(crops))))

    def use(number: int, crop: int) -> Tensor:
        with Image.open(io.BytesIO(kept[number * crops + crop])) as image:
            return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    return use


WAYS = (files, decoded, crops_raw, crops_jpeg)


def build(folder: Path, names: list[str]) -> tuple[list[Use], pd.DataFrame]:
    """The ways' uses for the greatest number of crops, and a row of each way's costs per image."""
    uses, rows = [], []
    source = sum((folder / name).stat().st_size for name in names)
    with TemporaryDirectory() as scratch:  # a map outlives the removal of its file
        for way in WAYS:
            row = {"folder": folder.name, "way": way.__name__, "images": len(names)}
            for crops in CROPS:
                store = Path(scratch) / f"{way.__name__}_{crops}"
                start = time.perf_counter()
                use = way(folder, names, crops, store)
                row[f"build s R={crops}"] = (time.perf_counter() - start) / len(names)
                size = store.stat().st_size if store.exists() else source
                row[f"kB R={crops}"] = size / len(names) / 1000
            uses.append(use)
            rows.append(row)
    return uses, pd.DataFrame(rows)


def pixel_errors(uses: list[Use], drawn: list[tuple[int, int]]) -> list[float]:
    """Mean absolute error of each way's pixels, in levels of 0 … 255; all but JPEG must have none."""
    errors = np.zeros(len(uses))
    for key in drawn:
        right, *same, lossy = [use(*key).int() for use in uses]
        assert all(torch.equal(right, pixels) for pixels in same)
        errors[-1] += float((lossy - right).abs().float().mean()) / len(drawn)
    return errors.tolist()


def milliseconds(uses: list[Use], drawn: list[tuple[int, int]]) -> list[float]:
    """Each way's milliseconds a crop, the median of passes; the ways alternate, so share other load."""
    times = np.zeros((PASSES, len(uses)))
    for row in times:
        for column, use in enumerate(uses):
            start = time.perf_counter()
            for key in drawn:
                use(*key)
            row[column] = 1000 * (time.perf_counter() - start) / len(drawn)
    return np.median(times, axis=0).tolist()


def measure(folder: Path, limit: int) -> pd.DataFrame:
    """One row for each way of keeping at most `limit` random images of a folder."""
    found = image_files(folder)
    if not found:
        raise click.UsageError(f"There is no .jpg or .png file in {folder}: name a data set's folder.")
    generator = random.Random(0)
    chosen = generator.sample(found, min(limit, len(found)))
    names = [path.relative_to(folder).as_posix() for path in chosen]
    keys = [(number, crop) for number in range(len(names)) for crop in range(CROPS[-1])]
    drawn = generator.sample(keys, min(USES, len(keys)))
    uses, table = build(folder, names)
    table["pixel error"] = pixel_errors(uses, drawn)  # touches every page before the timing
    table["ms"] = milliseconds(uses, drawn)
    return table


def total(table: pd.DataFrame) -> pd.DataFrame:
    """Each way's mean over the images of all folders."""
    weighted = table.drop(columns=["folder", "way", "images"]).mul(table["images"], axis=0)
    images = table.groupby("way", sort=False)["images"].sum()
    means = weighted.groupby(table["way"], sort=False).sum().div(images, axis=0)
    return means.assign(images=images, folder="total").reset_index()


@click.command()
@click.option("--images", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--limit", type=click.IntRange(1), default=60, show_default=True, help="Images of a folder.")
@click.option("--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True)
def main(images: tuple[Path, ...], limit: int, output: Path) -> None:
    """Measure the four ways on --images folders, by default those beside the checkout or generated ones."""
    torch.set_num_threads(1)
    print(f"{os.cpu_count()} CPUs, {torch.get_num_threads()} thread; kB and build s are of one image")
    with TemporaryDirectory() as scratch:
        folders = list(images) or real_folders()
        folders = folders or [generate(Path(scratch) / "generated", limit)]
        table = pd.concat([measure(folder, limit) for folder in folders], ignore_index=True)
    table = pd.concat([table, total(table)], ignore_index=True)
    table["crops/s to files"] = table.groupby("folder")["ms"].transform("first") / table["ms"]
    output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(output, index=False)
    print(table.to_string(index=False, float_format="{:,.4f}".format))


if __name__ == "__main__":
    main()
