"""The training loop: SGD over epochs of regions, resumable at any moment."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.images import normalise
from ..errors import UserError
from ..methods.base import Batch, Method
from ..progress import progress
from .batches import Pick, PickedRegions, load_batches, name_batches, picks_of_epoch, steps_per_epoch
from .checkpoint import load_checkpoint, save_checkpoint
from .schedule import learning_rate

CHECKPOINT_SECONDS = 20.0  # a kill costs at most this much work


def train(
    method: Method,
    dataset: PickedRegions,
    *,
    seed: int,
    workers: int,
    checkpoint: Path,
    fingerprint: str,
) -> list[dict[str, Any]]:
    """Train `method` in place on random regions of images; return epoch, lr and mean loss per epoch.

    A checkpoint at `checkpoint` with the same `fingerprint` is continued, with the same result, bit
    for bit on CPU, as if the training had never stopped.  The last one holds the finished training;
    the caller deletes it when the result is safe.  Raises UserError if the loss, or what is learned, is not
    finite after an epoch; nothing waits for the device within one.
    """
    items = dataset.items
    if not items:
        raise UserError("There is no image to train on: the split's train list is empty for these classes.")
    config, backbone = method.context.config, method.context.backbone
    optimizer = torch.optim.SGD(
        method.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )
    done = {"epoch": 0, "step": 0, "loss": 0.0, "history": []}
    done = load_checkpoint(checkpoint, method, optimizer, fingerprint) or done
    per_epoch = steps_per_epoch(len(items), config.batch_size)
    saved = time.monotonic()
    before = done["epoch"] * per_epoch + done["step"]
    with progress(config.epochs * per_epoch, "training", "step", before) as bar:
        while done["epoch"] < config.epochs:
            epoch = done["epoch"]
            lr = learning_rate(epoch, config.epochs, config.lr, config.warmup_lr)
            optimizer.param_groups[0]["lr"] = lr
            picks = picks_of_epoch(
                len(items), config.batch_size, seed, epoch, dataset.regions.count, method.regions_per_image
            )
            total = torch.tensor(done["loss"], dtype=torch.float64, device=backbone.device)
            first, losses = done["step"], []
            for batch in _batches(method, dataset, picks[first:], workers):
                losses.append(_step(method, optimizer, batch))
                total += losses[-1]
                done["step"] += 1
                bar.update()
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    done["loss"] = float(total)
                    save_checkpoint(checkpoint, method, optimizer, done, fingerprint)
                    saved = time.monotonic()
            method.finish_epoch(epoch)
            mean_loss = float(total) / per_epoch
            if not math.isfinite(mean_loss):
                at = next((number for number, loss in enumerate(losses) if not loss.isfinite()), 0)
                raise _diverged(method, epoch, first + at)
            if epoch + 1 == config.epochs:
                losses = [_loss_after(method, batch) for batch in _batches(method, dataset, picks[-1:], 0)]
            if not all(own.isfinite().all() for own in [*losses[-1:], *method.state_dict().values()]):
                raise _diverged(method, epoch, per_epoch - 1)
            row = {"epoch": epoch, "lr": lr, "loss": mean_loss}
            if backbone.device.type == "cuda":  # the most that this process has held so far
                row["gpu_peak_memory_mb"] = torch.cuda.max_memory_allocated(backbone.device) / 1e6
            done = {"epoch": epoch + 1, "step": 0, "loss": 0.0, "history": [*done["history"], row]}
            bar.set_postfix(loss=f"{mean_loss:.4f}")
    save_checkpoint(checkpoint, method, optimizer, done, fingerprint)
    return done["history"]


def _batches(
    method: Method, dataset: PickedRegions, picks: list[list[Pick]], workers: int
) -> Iterator[Batch]:
    """The picked regions, with pixels if the method needs them, on its device."""
    backbone = method.context.backbone
    seen = method.needs_pixels
    for batch in load_batches(dataset, picks, workers) if seen else name_batches(dataset.items, picks):
        own = batch._replace(labels=batch.labels.to(backbone.device, non_blocking=True))
        if batch.pixels is not None:
            pixels = batch.pixels.to(backbone.device, non_blocking=True)
            own = own._replace(pixels=normalise(pixels, backbone.mean, backbone.std))
        yield own


@torch.no_grad()
def _loss_after(method: Method, batch: Batch) -> Tensor:
    """The loss of a batch once more: what the last step did shows in no other step."""
    method.eval()
    loss = method.loss(batch)
    method.train()
    return loss


def _diverged(method: Method, epoch: int, step: int) -> UserError:
    name, config = type(method).__name__, method.context.config
    return UserError(
        f"{name} has diverged in epoch {epoch + 1}, step {step + 1}: its loss, or what it learns, is not "
        f"finite. Lower lr ({config.lr:g}), warmup_lr ({config.warmup_lr:g}) or the weights of its loss."
    )


def _step(method: Method, optimizer: torch.optim.Optimizer, batch: Batch) -> Tensor:
    """One optimiser step; the batch's loss, still on the device, so that nothing waits for it."""
    loss = method.loss(batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()
