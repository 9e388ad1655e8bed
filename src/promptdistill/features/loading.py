"""Loading regions of images, here or in other processes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..config.models import Regions
from ..data.images import draw_region, open_image, region_pixels
from ..data.splits import Item
from ..errors import UserError
from .region_store import RegionStore


@dataclass(eq=False)
class RegionDataset(Dataset):
    """Random regions of the images of a list; subclasses say which of them are one sample.

    They are read from `store` where there is one, and cut from the image files otherwise: the pixels
    are the same.
    """

    items: list[Item]
    image_folder: Path
    regions: Regions
    size: tuple[int, int]
    store: RegionStore | None = None

    def crops(self, number: int, crops: list[int]) -> tuple[Tensor, Tensor]:
        """uint8 pixels (crops, 3, H, W) and geometry (crops, 5) of regions of one image."""
        path = self.items[number].path
        if self.store is not None:
            return self.store.read(path, crops)
        image = open_image(self.image_folder / path)
        drawn = [draw_region(path, crop, self.regions, image.size) for crop in crops]
        return torch.stack([region_pixels(image, region, self.size) for region in drawn]), torch.tensor(drawn)


class AllRegions(RegionDataset):
    """All regions of one image at a time, so that it is decoded once."""

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """uint8 pixels (regions, 3, H, W) and geometry (regions, 5) of one image."""
        return self.crops(number, list(range(self.regions.count)))


@dataclass(eq=False)
class WholeImages(Dataset):
    """Whole images, prepared as the model is tested: normalised pixels (1, 3, H, W)."""

    items: list[Item]
    image_folder: Path
    preprocess: Callable[..., Tensor]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Pixels (1, 3, H, W) of one image, and its size as the geometry (1, 5) of a region."""
        image = open_image(self.image_folder / self.items[number].path)
        return self.preprocess(image)[None], torch.tensor([[0, 0, *image.size, 0]])


def load(loader: Iterable[Any]) -> Iterator[Any]:
    """The loader's batches.  A UserError in a worker process arrives as the sentence that it was.

    Torch raises it again with the worker's whole traceback as its message.
    """
    try:
        yield from loader
    except UserError as error:
        raise UserError(str(error).rstrip().rpartition("UserError: ")[2]) from None
