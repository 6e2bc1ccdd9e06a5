"""The interface of augmentations."""

from typing import ClassVar

from torch import Tensor, nn


class Augmentation(nn.Module):
    """The identity, and the interface of all augmentations: differentiable, of a strength in 0..1.

    Attributes:
        changes: Whether pictures change at all.
        adaptive: Whether the strength matters; at 0 whoever calls may leave the augmentation out.
    """

    changes: ClassVar[bool] = False
    adaptive: ClassVar[bool] = False

    def forward(self, image: Tensor, p: Tensor) -> Tensor:  # noqa: ARG002 - the identity has no strength
        """Return pictures of the same shape # [N, 3, R, R] in [-1, 1]; ``p`` # [] is on their device."""
        return image
