"""Loading regions of images, here or in other processes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..config import Regions
from ..errors import UserError
from .images import draw_region, open_image, region_pixels
from .splits import Item


class RegionDataset(Dataset):
    """Random regions of the images of a list; subclasses say which of them are one sample."""

    def __init__(
        self, items: list[Item], image_folder: Path, regions: Regions, size: tuple[int, int]
    ) -> None:
        self.items = items
        self.image_folder = image_folder
        self.regions = regions
        self.size = size

    def crops(self, number: int, crops: list[int]) -> tuple[Tensor, Tensor]:
        """uint8 pixels (crops, 3, H, W) and geometry (crops, 5) of regions of one image, decoded once."""
        path = self.items[number].path
        image = open_image(self.image_folder / path)
        drawn = [draw_region(path, crop, self.regions, image.size) for crop in crops]
        return torch.stack([region_pixels(image, region, self.size) for region in drawn]), torch.tensor(drawn)


def load(loader: Iterable[Any]) -> Iterator[Any]:
    """The loader's batches.  A UserError in a worker process arrives as the sentence that it was.

    Torch raises it again with the worker's whole traceback as its message.
    """
    try:
        yield from loader
    except UserError as error:
        raise UserError(str(error).rstrip().rpartition("UserError: ")[2]) from None
