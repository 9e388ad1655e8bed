"""The picture of docs/miniature.md: a row of pictures of each miniature data set, of different classes.

`python docs/draw_pictures.py docs/miniature.png`, in the project's environment.
"""

import sys

from PIL import Image, ImageDraw

from promptdistill.miniature.datasets import DATASETS
from promptdistill.miniature.pictures import SIZE

PICTURES, CELL, LABEL = 16, SIZE + 4, 150


def main(path: str) -> None:
    """Draw the sheet."""
    sheet = Image.new("RGB", (LABEL + CELL * PICTURES, CELL * len(DATASETS)), "white")
    text = ImageDraw.Draw(sheet)
    for y, (name, dataset) in enumerate(DATASETS.items()):
        text.text((6, y * CELL + CELL // 2 - 6), name, fill="black")
        classes = list(dataset.classes)
        for x in range(PICTURES):
            picture = dataset.picture(classes[x % len(classes)], dataset.seed, 0, x)
            sheet.paste(picture, (LABEL + x * CELL, y * CELL))
    sheet.save(path, format="PNG")


if __name__ == "__main__":
    main(sys.argv[1])
