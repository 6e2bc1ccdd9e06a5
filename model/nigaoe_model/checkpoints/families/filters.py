"""The resampling filter of a network, read from the kernel that lies in its file."""

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.checkpoints.records import TensorRecord
from nigaoe_model.checkpoints.tensor_bytes import small_floats

STANDARD = (1.0, 3.0, 3.0, 1.0)
TOLERANCE = 1e-5


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
    scaled = [tap * sum(STANDARD) for tap in taps]
    if len(scaled) == len(STANDARD) and all(abs(a - b) < 1e-3 for a, b in zip(scaled, STANDARD, strict=True)):
        return STANDARD
    return taps
