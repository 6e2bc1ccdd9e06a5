"""What the discriminator sees instead of plain pictures, so that a small data set is not learned by heart."""

from typing import ClassVar, Literal

from torch import Tensor, nn


class Augmentation(nn.Module):
    """The identity, and the base class of all augmentations: differentiable, of a strength in 0..1.

    Attributes:
        changes: Whether pictures change at all.
        adaptive: Whether the strength matters; at 0 the caller may leave the augmentation out.
    """

    changes: ClassVar[bool] = False
    adaptive: ClassVar[bool] = False

    def forward(self, image: Tensor, p: Tensor) -> Tensor:  # noqa: ARG002 - the identity has no strength
        """Return pictures of the same shape # [N, 3, R, R] in [-1, 1]; ``p`` # [] is on their device."""
        return image


def build_augmentation(kind: Literal["none", "ada", "diffaugment"]) -> Augmentation:
    """Return an augmentation by its name in the config."""
    if kind == "ada":
        from nigaoe_model.training.augment.pipeline import AdaptiveAugmentation

        return AdaptiveAugmentation()
    if kind == "diffaugment":
        from nigaoe_model.training.augment.diff_augment import DiffAugment

        return DiffAugment()
    return Augmentation()
