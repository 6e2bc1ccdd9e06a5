"""The moving average of a network's weights: what is scored, shown and shipped."""

import torch
from torch import Tensor, nn


def ema_decay(batch: int, halflife_images: float, images_seen: int, rampup: float) -> float:
    """Return the factor by which the average keeps itself in one step.

    Args:
        batch: Images a step.
        halflife_images: Images after which a weight counts half.
        images_seen: Images of the run so far.
        rampup: The half-life is at most this share of ``images_seen``; 0 turns the ramp off.
    """
    if rampup > 0:
        halflife_images = min(halflife_images, images_seen * rampup)
    return float(0.5 ** (batch / max(halflife_images, 1e-8)))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, rate: Tensor, names: frozenset[str] | None = None) -> None:
    """Move ``average`` towards ``network``.

    Args:
        average: Changed in place.
        network: Same architecture.
        rate: Result is ``average + rate * (network - average)``; one minus the decay. # [].
        names: Parameters that learn; the others, and then all buffers too, are not touched. None: all of them.
    """
    source = dict(network.named_parameters())
    learning = [name for name in source if names is None or name in names]
    mean = dict(average.named_parameters())
    _move([mean[name] for name in learning], [source[name] for name in learning], rate)
    if names is None:
        buffers = dict(network.named_buffers())
        pairs = [(buffer, buffers[name]) for name, buffer in average.named_buffers()]
        torch._foreach_copy_([buffer for buffer, _ in pairs], [found for _, found in pairs])


def _move(average: list[Tensor], network: list[Tensor], rate: Tensor) -> None:
    if rate.device.type == "cpu":  # Three passes over the memory for the sake of few calls pay on a GPU only.
        for mean, value in zip(average, network, strict=True):
            mean.lerp_(value, rate)
        return
    differences = torch._foreach_sub(network, average)  # noqa: SLF001 - torch.optim's own way to few launches
    torch._foreach_mul_(differences, rate)
    torch._foreach_add_(average, differences)
