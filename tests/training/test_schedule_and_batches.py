"""Learning rates and the order of batches."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptdistill.training.batches import picks_of_epoch, steps_per_epoch
from promptdistill.training.schedule import learning_rate


def test_rates_of_twenty_epochs():
    """A constant warm-up epoch, the full rate, then half a cosine that never reaches zero."""
    rates = [learning_rate(epoch, 20, 0.0025, 1e-5) for epoch in range(20)]
    assert rates[0] == 1e-5
    assert rates[1] == 0.0025
    assert rates[11] == pytest.approx(0.00125)
    assert rates[19] == pytest.approx(0.0025 / 2 * (1 + math.cos(math.pi * 18 / 20)))
    assert all(earlier > later > 0 for earlier, later in pairwise(rates[1:]))


def test_rates_equal_the_published_scheduler():
    """Torch's own cosine, stepped once an epoch behind a constant warm-up epoch, as in the published runs."""
    import torch

    epochs, lr = 10, 0.002
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, float(epochs))
    expected = [1e-5]
    for _ in range(epochs - 1):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    ours = [learning_rate(epoch, epochs, lr, 1e-5) for epoch in range(epochs)]
    assert ours == pytest.approx(expected)


@given(
    images=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 30),
    regions=st.integers(1, 20),
)
def test_epochs(images, batch_size, seed, epoch, regions):
    """Whole batches of distinct images, all with the same region, in an order of their own."""
    batches = picks_of_epoch(images, batch_size, seed, epoch, regions)
    assert batches == picks_of_epoch(images, batch_size, seed, epoch, regions)
    assert len(batches) == steps_per_epoch(images, batch_size)
    assert all(len(batch) == min(batch_size, images) for batch in batches)
    numbers = [number for batch in batches for number, _ in batch]
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) <= set(range(images))
    assert {region for batch in batches for _, region in batch} == {(epoch + seed - 1) % regions}


@given(
    images=st.integers(1, 20),
    batch_size=st.integers(1, 20),
    epoch=st.integers(0, 30),
    regions=st.integers(1, 20),
    per_image=st.integers(1, 6),
)
def test_several_regions_of_an_image(images, batch_size, epoch, regions, per_image):
    """Beside one another in a batch, distinct, evenly apart; the images are in the same order as with one."""
    one = picks_of_epoch(images, batch_size, 1, epoch, regions)
    several = picks_of_epoch(images, batch_size, 1, epoch, regions, per_image)
    each = min(per_image, regions)
    for batch, single in zip(several, one, strict=True):
        assert [number for number, _ in batch] == [number for number, _ in single for _ in range(each)]
        assert [batch[nth * each] for nth in range(len(single))] == single
    seen = sorted({region for batch in several for _, region in batch})
    assert len(seen) == each
    gaps = [(after - before) % regions for before, after in zip(seen, [*seen[1:], seen[0]], strict=True)]
    assert each == 1 or max(gaps) - min(gaps) <= 1


def test_every_epoch_and_seed_has_another_order():
    orders = {str(picks_of_epoch(30, 30, seed, epoch, 1)) for seed in range(4) for epoch in range(10)}
    assert len(orders) == 40
