"""Batches of random regions, in an order that depends on nothing but seed and epoch."""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from ..data.splits import Item
from ..features.loading import RegionDataset, load
from ..methods.base import Batch

Pick = tuple[int, int]  # index of an image in the list, and of one of its regions


class PickedRegions(RegionDataset):
    """Any one region of any image."""

    def __getitem__(self, pick: Pick) -> tuple[torch.Tensor, int, int, int]:
        """uint8 pixels (3, H, W) of one region, the image's label, and the pick itself."""
        index, region = pick
        pixels, _ = self.crops(index, [region])
        return pixels[0], self.items[index].label, index, region


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Whole batches of an epoch; a list smaller than one batch makes one batch.

    The rest is dropped, as the published runs drop it.
    """
    return max(1, images // batch_size)


def picks_of_epoch(
    images: int, batch_size: int, seed: int, epoch: int, regions: int, per_image: int = 1
) -> list[list[Pick]]:
    """The batches of one epoch: a random order of the images, each with `per_image` regions.

    Epoch e shows region (e + seed - 1) mod `regions` of every image, so seeds see them in another
    order; further ones of the image lie evenly apart.  An image with fewer regions shows all.
    """
    per_image = min(per_image, regions)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(images, generator=generator).tolist()
    chosen = [(epoch + seed - 1 + nth * regions // per_image) % regions for nth in range(per_image)]
    return [
        [(index, region) for index in order[step * batch_size : (step + 1) * batch_size] for region in chosen]
        for step in range(steps_per_epoch(images, batch_size))
    ]


def load_batches(dataset: PickedRegions, picks: list[list[Pick]], workers: int) -> Iterator[Batch]:
    """Load the picked regions, `workers` processes ahead (0: in this process); pixels stay uint8."""
    loader = DataLoader(
        dataset, batch_sampler=picks, num_workers=workers, pin_memory=torch.cuda.is_available()
    )
    for pixels, labels, images, regions in load(loader):
        yield Batch(pixels=pixels, labels=labels, images=images, regions=regions)


def name_batches(items: list[Item], picks: list[list[Pick]]) -> Iterator[Batch]:
    """The picked regions without pixels, for methods that look their features up."""
    for batch in picks:
        images, regions = map(torch.tensor, zip(*batch, strict=True))
        labels = torch.tensor([items[index].label for index, _ in batch])
        yield Batch(pixels=None, labels=labels, images=images, regions=regions)
