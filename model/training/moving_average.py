"""The moving average of a network's weights: what is scored, shown and shipped."""

import torch
from torch import nn


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
def update_average(average: nn.Module, network: nn.Module, decay: float, names: frozenset[str] | None = None) -> None:
    """Move ``average`` towards ``network``.

    Args:
        average: Changed in place.
        network: Same architecture.
        decay: Result is ``decay * average + (1 - decay) * network``.
        names: Parameters that learn; the others, and then all buffers too, are not touched. None: all of them.
    """
    source = dict(network.named_parameters())
    for name, parameter in average.named_parameters():
        if names is None or name in names:
            parameter.lerp_(source[name], 1.0 - decay)
    if names is None:
        buffers = dict(network.named_buffers())
        for name, buffer in average.named_buffers():
            buffer.copy_(buffers[name])
