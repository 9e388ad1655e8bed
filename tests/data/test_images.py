"""Regions of images: reproducible geometry, torchvision's pixels, and what is refused."""

import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from promptdistill.config.models import Regions
from promptdistill.data.images import FORMATS, draw_region, normalise, open_image, region_pixels
from promptdistill.errors import UserError

sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))


@given(crop=st.integers(0, 10_000), seed=st.integers(0, 9), size=sizes)
def test_regions_lie_inside_and_are_reproducible(crop, seed, size):
    regions = Regions(seed=seed)
    region = draw_region("a/b.jpg", crop, regions, size)
    assert region == draw_region("a/b.jpg", crop, regions, size)
    assert region.width > 0
    assert region.height > 0
    assert 0 <= region.x <= size[0] - region.width
    assert 0 <= region.y <= size[1] - region.height


def test_regions_follow_the_published_distribution():
    """Share of the area uniform in 0.08 … 1, logarithm of the ratio uniform, one in two mirrored."""
    drawn = [draw_region("a.jpg", crop, Regions(), (1000, 1000)) for crop in range(4000)]
    area = np.array([r.width * r.height / 1e6 for r in drawn])
    ratio = np.log([r.width / r.height for r in drawn])
    assert area.min() > 0.07
    assert np.exp(np.abs(ratio)).max() < 1.35
    assert np.mean(area) == pytest.approx(0.5, abs=0.03)  # large ones of odd ratio do not fit
    assert np.mean(ratio) == pytest.approx(0, abs=0.02)
    assert np.mean([r.flip for r in drawn]) == pytest.approx(0.5, abs=0.03)


def test_regions_depend_on_path_crop_and_seed():
    drawn = {
        draw_region(path, crop, Regions(seed=seed), (500, 400))
        for path in ("a.jpg", "b.jpg")
        for crop in range(5)
        for seed in (1, 2)
    }
    assert len(drawn) == 20


@given(seed=st.integers(0, 99), crop=st.integers(0, 99))
def test_pixels_equal_torchvision(seed, crop):
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as tv

    rng = np.random.default_rng(seed)
    shape = (*rng.integers(20, 90, 2), 3)
    image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
    region = draw_region("x.png", crop, Regions(), image.size)
    size = [32, 24]
    expected = tv.resized_crop(
        image, region.y, region.x, region.height, region.width, size, InterpolationMode.BICUBIC
    )
    expected = tv.hflip(expected) if region.flip else expected
    pixels = region_pixels(image, region, (32, 24))
    assert torch.equal(pixels, tv.pil_to_tensor(expected))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    expected = tv.normalize(tv.to_tensor(expected), mean, std)
    torch.testing.assert_close(normalise(pixels, mean, std), expected, atol=1e-6, rtol=0)


def test_images_that_cannot_be_opened(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg does not exist"):
        open_image(tmp_path / "gone.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.jpg cannot be decoded \(not an image\)"):
        open_image(tmp_path / "text.jpg")
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"half\.png cannot be decoded"):
        open_image(tmp_path / "half.png")


def test_gray_and_palette_images_become_rgb(tmp_path):
    for mode in ("L", "P", "RGBA", "CMYK"):
        path = tmp_path / f"{mode}.tif"
        Image.new(mode, (5, 4)).save(path)
        assert open_image(path).mode == "RGB"


@pytest.mark.parametrize("scale", [(0, 1), (0.5, 0.4), (0.5, 1.1)])
def test_impossible_scales(scale):
    with pytest.raises(ValueError, match="must be two shares"):
        Regions(scale=scale)


RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_are_scaled(tmp_path, name):
    """Also where the name says something else: the content counts."""
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "a.jpg")
    assert (np.asarray(open_image(tmp_path / "a.jpg")) == RAMP[..., None]).all()


def tiff(pixels, bits, interpretation=1, sample_format=1):
    """An uncompressed gray TIFF, little-endian, of one strip."""
    height, width = pixels.shape
    body = pixels.tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, interpretation), (273, 8)]
    tags += [(277, 1), (278, height), (279, len(body)), (339, sample_format)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(body))
    return head + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_white_may_be_zero(tmp_path):
    wide = RAMP.astype(np.uint16) * 257
    for interpretation, expected in ((1, RAMP), (0, 255 - RAMP)):
        (tmp_path / "a.tif").write_bytes(tiff(wide, 16, interpretation))
        assert (np.asarray(open_image(tmp_path / "a.tif"))[..., 0] == expected).all()


def test_sixteen_bits_in_colour(tmp_path):
    """Pillow itself scales them: the high byte counts."""
    pixels = np.stack([RAMP] * 3, axis=-1)
    header = b"P6 16 16 65535\n"
    (tmp_path / "a.ppm").write_bytes(header + (pixels.astype(">u2") * 257).tobytes())
    assert (np.asarray(open_image(tmp_path / "a.ppm")) == pixels).all()


@pytest.mark.parametrize(("dtype", "sample_format"), [(np.int32, 2), (np.float32, 3)])
def test_a_range_that_nobody_knows(tmp_path, dtype, sample_format):
    (tmp_path / "a.tif").write_bytes(tiff(RAMP.astype(dtype), 32, 1, sample_format))
    with pytest.raises(UserError, match=r"a\.tif cannot be decoded \(32 bits a channel, whose range"):
        open_image(tmp_path / "a.tif")


def test_other_formats_are_not_opened(tmp_path):
    """Whatever the name, no other plug-in of Pillow sees the file."""
    for form in ("EPS", "PCX", "TGA", "ICO", "SGI", "PDF"):
        Image.fromarray(RAMP).save(tmp_path / f"{form}.jpg", form)
        with pytest.raises(UserError, match=r"not an image.* by one in JPEG, PNG, .* or WEBP format"):
            open_image(tmp_path / f"{form}.jpg")
    for form in FORMATS:
        Image.fromarray(RAMP).save(tmp_path / f"{form}.jpg", form)
        assert open_image(tmp_path / f"{form}.jpg").size == (16, 16)


def test_orientation_and_transparency_as_published(tmp_path):
    """The published code calls convert("RGB") and nothing else."""
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (5, 4), "red").save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (5, 4)
    Image.new("RGBA", (5, 4), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    assert open_image(tmp_path / "clear.png").getpixel((0, 0)) == (10, 20, 30)


def test_damage_that_plugins_answer_in_their_own_way(tmp_path):
    """A text that grows when unpacked, a picture of too many pixels, a folder."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("comment", "a" * (2 * PngImagePlugin.MAX_TEXT_CHUNK), zip=True)
    Image.new("RGB", (5, 4)).save(tmp_path / "text.png", pnginfo=texts)
    (tmp_path / "bomb.ppm").write_bytes(b"P5 99999 99999 255\n")
    for name in ("text.png", "bomb.ppm"):
        with pytest.raises(UserError, match=rf"{name} cannot be decoded"):
            open_image(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=r"folder\.png cannot be read: Is a directory"):
        open_image(tmp_path / "folder.png")
