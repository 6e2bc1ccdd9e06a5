"""What a family finds in a file: the tensors of its networks, and the architecture that they have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.checkpoints.records import TensorRecord, small_floats
from nigaoe_model.stylegan2.architecture import Architecture

LayoutName = Literal["native", "rosinality", "nvidia", "tensorflow"]
Tensors = Mapping[str, TensorRecord]

STANDARD_FILTER = (1.0, 3.0, 3.0, 1.0)
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Recognised:
    """A file whose family is known and can be imported.

    Attributes:
        family: Short name.
        title: The family in words.
        layout: Which table leads to our names.
        architecture: Of both networks.
        generator: Tensors of the generator (the moving average, where there is one), in foreign names.
        discriminator: Tensors of the discriminator; empty when there is none.
        latent_avg: Mean style, where it stands apart from the generator.
        trainable_blocks: Freeze depth that the file claims.
        card: Our own card as JSON, in files that Nigaoe exported.
        notes: What people should know.
    """

    family: str
    title: str
    layout: LayoutName
    architecture: Architecture
    generator: Tensors
    discriminator: Tensors = field(default_factory=dict)
    latent_avg: TensorRecord | None = None
    trainable_blocks: int | None = None
    card: str = ""
    notes: tuple[str, ...] = ()


def tensors_of(value: object) -> dict[str, TensorRecord]:
    """Return the tensors of a state dict by name; anything else in it is left out."""
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, TensorRecord)}


def taps_of(kernel: TensorRecord) -> tuple[float, ...]:
    """Return the taps whose outer product, normalised, is ``kernel`` up to a factor.

    Args:
        kernel: # [k, k].

    Raises:
        CheckpointMismatch: It is not separable, or has an odd number of taps.
    """
    numbers = small_floats(kernel)
    count = kernel.shape[0]
    if kernel.shape != (count, count) or count % 2 or not sum(numbers) > 0:
        raise CheckpointMismatch(f"The resampling filter has shape {list(kernel.shape)}; Nigaoe needs an even square.")
    total = sum(numbers)
    taps = tuple(sum(numbers[row * count : (row + 1) * count]) / total for row in range(count))
    products = [a * b * total for a in taps for b in taps]
    if any(abs(p - n) > TOLERANCE * total for p, n in zip(products, numbers, strict=True)):
        raise CheckpointMismatch("The resampling filter is not separable: this is no StyleGAN2 of the published kind.")
    scaled = [tap * sum(STANDARD_FILTER) for tap in taps]
    if count == len(STANDARD_FILTER) and all(abs(a - b) < 1e-3 for a, b in zip(scaled, STANDARD_FILTER, strict=True)):
        return STANDARD_FILTER
    return taps
