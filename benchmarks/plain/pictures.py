"""Random crops as published training loops make them: the whole file is decoded for every crop."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Geometry = tuple[int, int, int, int, bool]  # x, y, width, height in pixels of the full image; mirrored?


def read_regions(
    paths: Sequence[Path],
    geometry: Sequence[Geometry],
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Normalised pixels (B, 3, H, W) of one region of each file, resized (bicubic) to `size` (H, W)."""
    regions = [read_region(path, region, size) for path, region in zip(paths, geometry, strict=True)]
    pixels = torch.stack(regions)
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def read_region(path: Path, region: Geometry, size: tuple[int, int]) -> Tensor:
    """Pixels (3, H, W) in 0 … 1 of one region of one file."""
    x, y, width, height, flip = region
    with Image.open(path) as file:
        image = file.convert("RGB")
    image = image.crop((x, y, x + width, y + height))
    image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    if flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
