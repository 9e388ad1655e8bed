"""Images of a list, found by their paths in what was made of them, row by row."""

from pathlib import Path

import torch
from torch import Tensor

from ..data.splits import Item
from ..errors import UserError
from ..files import sha256_of_json


def images_sha256(items: list[Item]) -> str:
    """One hash of the images of a list, and of their order."""
    return sha256_of_json([item.path for item in items])


class Rows(dict[str, int]):
    """Path of an image -> its row in what was made of `items`, and lies in `folder`."""

    def __init__(self, items: list[Item], folder: Path) -> None:
        super().__init__((item.path, row) for row, item in enumerate(items))
        self.folder = folder

    def __missing__(self, path: str) -> int:
        raise UserError(
            f"{self.folder} holds nothing of the image {path}, which is not in the list that it was made of: "
            "give it the split and the draw that belong together."
        )

    def of(self, items: list[Item]) -> Tensor:
        """Rows (images,) of some of the images; UserError for another image."""
        return torch.tensor([self[item.path] for item in items], dtype=torch.long)
