"""The published learning-rate schedule."""

import math


def learning_rate(epoch: int, epochs: int, lr: float, warmup_lr: float) -> float:
    """Rate of epoch 0, 1, …: a constant warm-up epoch, then a cosine that moves once an epoch.

    Epoch 1 runs at the full rate and the last one above zero: lr / 2 · (1 + cos(π (e - 1) / E)).
    This off-by-one is how the published runs behave (configurations of CoOp and CasPL).
    """
    if epoch == 0:
        return warmup_lr
    return lr / 2 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
