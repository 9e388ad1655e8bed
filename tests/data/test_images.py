"""Regions of images: reproducible geometry, torchvision's pixels, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from promptdistill.config.models import Regions
from promptdistill.data.images import draw_region, normalise, open_image, region_pixels
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
