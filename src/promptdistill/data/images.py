"""Opening images, and the random regions that training and the lookup share."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..config.models import Regions
from ..errors import UserError
from .splits import missing_image

RATIO = (3 / 4, 4 / 3)  # least and greatest ratio of a region's width to its height
_ATTEMPTS = 10

# All that the data sets hold, whatever a file is called; of others, such as EPS, Pillow would start programs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
TIFF_BITS, TIFF_INTERPRETATION, TIFF_WHITE_IS_ZERO = 258, 262, 0  # two tags, and a value of the second


class Region(NamedTuple):
    """A crop in pixels of the full image, and whether it is mirrored."""

    x: int
    y: int
    width: int
    height: int
    flip: bool


def open_image(path: Path) -> Image.Image:
    """Decode an image as RGB with 8 bits a channel; UserError names a missing or undecodable file.

    As in the published code, an image is not turned by its EXIF orientation, and of transparency the
    colours stay and the opacity goes; of several pictures in a file the first one counts.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            return _of_eight_bits(image).convert("RGB")
    except FileNotFoundError:
        raise missing_image(path) from None
    except Exception as error:  # for damaged files, Pillow's plug-ins raise whatever they like
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"The image {path} cannot be read: {error.strerror}.") from None
        said, usable = " ".join(str(error).split()) or type(error).__name__, ""
        if isinstance(error, UnidentifiedImageError):
            said, usable = "not an image", f" by one in {', '.join(FORMATS[:-1])} or {FORMATS[-1]} format"
        raise UserError(
            f"The image {path} cannot be decoded ({said}): replace the file{usable}, or take it out of the "
            "split."
        ) from None


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """A gray image of more bits scaled down by its depth, where Pillow would turn most of it white.

    Pillow itself scales channels of 16 bits in colour.  ValueError where nothing says which value is white.
    """
    if image.mode in ("I", "F") and image.format not in ("PNG", "PPM"):
        raise ValueError("32 bits a channel, whose range is not known: save it with 8 or 16 bits")
    if image.mode == "F":
        raise ValueError("floating-point values, whose range is not known: save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    tags = getattr(image, "tag_v2", {})
    shift = tags.get(TIFF_BITS, (16,))[0] - 8
    pixels = (np.asarray(image) >> shift).astype(np.uint8)
    return Image.fromarray(255 - pixels if tags.get(TIFF_INTERPRETATION) == TIFF_WHITE_IS_ZERO else pixels)


def draw_region(path: str, crop: int, regions: Regions, size: tuple[int, int]) -> Region:
    """Random resized crop number `crop` of the image `path` of `size` (width, height) pixels.

    Counter-based: the generator's key is a hash of seed and path, its counter the crop's number, so
    any region can be had without drawing those before it.  Area, ratio and fall-back are those of
    torchvision's RandomResizedCrop; one region in two is mirrored.  `regions.scale` of the published
    runs is 0.08 to 1 (CasPL, implementation details).
    """
    key = np.frombuffer(hashlib.sha256(f"{regions.seed}\0{path}".encode()).digest()[:16], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, crop]))
    flip = bool(generator.random() < 0.5)
    width, height = size
    for _ in range(_ATTEMPTS):
        area = width * height * generator.uniform(*regions.scale)
        ratio = np.exp(generator.uniform(*np.log(RATIO)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            x, y = generator.integers(width - w + 1), generator.integers(height - h + 1)
            return Region(int(x), int(y), w, h, flip)
    w = min(width, round(height * RATIO[1]))
    h = min(height, round(width / RATIO[0]))
    return Region((width - w) // 2, (height - h) // 2, w, h, flip)


def region_pixels(image: Image.Image, region: Region, size: tuple[int, int]) -> Tensor:
    """The region of an RGB image, resized (bicubic) to `size` (H, W), as uint8 pixels (3, H, W)."""
    x, y, w, h, flip = region
    crop = image.crop((x, y, x + w, y + h)).resize(size[::-1], Image.Resampling.BICUBIC)
    if flip:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(crop)).permute(2, 0, 1)


def normalise(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Pixels (…, 3, H, W) in 0 … 255 as the model wants them: (p / 255 - mean) / std per channel."""
    means, stds = (torch.tensor(own, device=pixels.device).view(3, 1, 1) for own in (mean, std))
    return (pixels.float() / 255 - means) / stds
