"""The interface of augmentations."""

from torch import Tensor, nn


class Augmentation(nn.Module):
    """The identity, and the interface of all augmentations: differentiable, of a strength in 0..1."""

    def forward(self, image: Tensor, p: float) -> Tensor:  # noqa: ARG002 - the identity has no strength
        """Return pictures of the same shape # [N, 3, R, R] in [-1, 1]."""
        return image
