"""One more resolution for trained networks, as progressive growing adds it (Karras et al. 2018), without a fade.

StyleGAN2's skips make the fade superfluous: a new block whose ToRGB is zero adds nothing to the picture, and learns
from the first step on. The generator then draws exactly what it drew, enlarged by the network's own filter, and the
discriminator answers exactly what it answered to the picture that is reduced by the same filter. Styles keep their
places: the new block reads the last old one and two more.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.ops.activation import LEAKY_GAIN, LEAKY_SLOPE

State = Mapping[str, Tensor]

COLOUR_CHANNELS = 6
"""Channels that carry a picture through leaky rectifiers unchanged: each colour and its negative."""


def grown_architecture(small: Architecture, width: int | None = None) -> Architecture:
    """Return the architecture with one more resolution.

    Args:
        small: Of the trained networks.
        width: Channels of the new resolution; None: as many as the last one has.

    Raises:
        CheckpointMismatch: The networks have 1024 px already.
    """
    resolution = 2 * small.resolution
    document = small.model_dump() | {"resolution": resolution}
    document["channels"] = {**small.channels, resolution: width or small.channels[small.resolution]}
    try:
        return Architecture.model_validate(document)
    except ValueError as error:
        raise CheckpointMismatch(f"Networks of {small.resolution} px cannot be grown any further.") from error


def check_growth(small: Architecture, large: Architecture, name: str) -> None:
    """Make sure that ``large`` is ``small`` with one more resolution.

    Raises:
        CheckpointMismatch: It is not; the message says in what they differ. ``name`` is the file's.
    """
    if large.resolution != 2 * small.resolution:
        raise CheckpointMismatch(
            f"`{name}` has {small.resolution} px and grows to {2 * small.resolution} px, not to {large.resolution}; "
            "choose a config of that resolution."
        )
    expected = grown_architecture(small, large.channels[large.resolution])
    differing = [key for key in type(large).model_fields if getattr(expected, key) != getattr(large, key)]
    if differing:
        words = "; ".join(f"{key}: {getattr(small, key)} in the file, {getattr(large, key)} here" for key in differing)
        raise CheckpointMismatch(
            f"`{name}` cannot be grown into this run's networks, which differ otherwise ({words})."
        )


def grow_generator(large: State, small: State, resolution: int) -> dict[str, Tensor]:
    """Return a generator's state whose picture is the small one's, upsampled by its resampling filter.

    This holds for every style and kind of noise, up to rounding; the two styles that only the new block reads change
    nothing until its ToRGB has learned.

    Args:
        large: State of a generator of ``resolution`` pixels; its new block's convolutions are kept.
        small: State of the trained generator of half the resolution.
        resolution: Of the grown generator.
    """
    torgb = f"synthesis.blocks.b{resolution}.torgb"
    silent = {name: torch.zeros_like(large[name]) for name in (f"{torgb}.conv.weight", f"{torgb}.bias")}
    return {**large, **small, **silent}


def grow_discriminator(large: State, small: State, architecture: Architecture) -> dict[str, Tensor]:
    """Return a discriminator's state that judges a picture as the small one judges it downsampled by its filter.

    The new block hands the colours through its rectifiers as pairs, ``x = (lrelu(x) - lrelu(-x)) / 1.2 sqrt(2)``, and
    its second convolution does what the old FromRGB did. Up to rounding, and to where ``conv_clamp`` cuts off, the
    answers are the same. The other channels start at random and are not yet listened to; all parameters learn.

    Args:
        large: State of a discriminator of ``architecture``; gives the channels that are not listened to.
        small: State of the trained discriminator of half the resolution.
        architecture: Of the grown discriminator.

    Raises:
        CheckpointMismatch: The new resolution has fewer than six channels.
    """
    resolution, width = architecture.resolution, architecture.channels[architecture.resolution]
    if width < COLOUR_CHANNELS:
        raise CheckpointMismatch(
            f"A grown discriminator needs at least {COLOUR_CHANNELS} channels at {resolution} px, not {width}."
        )
    block = f"blocks.b{resolution}"
    state = {**large, **{name: tensor for name, tensor in small.items() if not name.startswith("fromrgb.")}}
    state |= _colours_in(large["fromrgb.weight"], large["fromrgb.bias"])
    state |= _colours_through(f"{block}.conv0", large)
    state |= _colours_out(f"{block}.conv1", large, small)
    return state | {f"{block}.skip.weight": torch.zeros_like(large[f"{block}.skip.weight"])}


def _colours_in(weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """FromRGB # [C, 3, 1, 1]: each colour, each colour's negative, and the rest as it starts."""
    gain = 1.0 / math.sqrt(weight.shape[1])
    grown = weight.clone()
    grown[:3, :, 0, 0] = torch.eye(3) / gain
    grown[3:COLOUR_CHANNELS, :, 0, 0] = -torch.eye(3) / gain
    return {"fromrgb.weight": grown, "fromrgb.bias": torch.zeros_like(bias)}


def _colours_through(name: str, large: State) -> dict[str, Tensor]:
    """The first convolution # [C, C, 3, 3]: take the colours together from their pairs, and make pairs again."""
    weight = large[f"{name}.weight"].clone()
    weight[:COLOUR_CHANNELS] = 0.0
    weight[:3, :COLOUR_CHANNELS, 1, 1] = _join(weight)
    weight[3:COLOUR_CHANNELS, :COLOUR_CHANNELS, 1, 1] = -_join(weight)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros_like(large[f"{name}.bias"])}


def _colours_out(name: str, large: State, small: State) -> dict[str, Tensor]:
    """The second convolution # [O, C, 3, 3], after its filter: what the small network's FromRGB did.

    A residual branch is weaker by sqrt(2); the rectifier is homogeneous, so weights and bias make up for that.
    """
    weight = torch.zeros_like(large[f"{name}.weight"])
    fromrgb = small["fromrgb.weight"].float()[:, :, 0, 0] / math.sqrt(3)  # [O, 3]
    weight[:, :COLOUR_CHANNELS, 1, 1] = math.sqrt(2.0) * fromrgb @ _join(weight)
    return {f"{name}.weight": weight, f"{name}.bias": math.sqrt(2.0) * small["fromrgb.bias"].float()}


def _join(weight: Tensor) -> Tensor:
    """Stored weights that add a colour and its negative up to the colour. # [3, 6]."""
    gain = 1.0 / math.sqrt(math.prod(weight.shape[1:]))
    pairs = torch.cat([torch.eye(3), -torch.eye(3)], dim=1)
    return pairs / ((1.0 + LEAKY_SLOPE) * LEAKY_GAIN * gain)
