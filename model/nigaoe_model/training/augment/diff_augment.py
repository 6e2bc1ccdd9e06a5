"""DiffAugment: colour, translation and cutout on every picture that the discriminator sees.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020, section 4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.training.augment import Augmentation


class DiffAugment(Augmentation):
    """All three policies, always at full strength; ``p`` has no effect."""

    changes = True

    def forward(self, image: Tensor, p: Tensor) -> Tensor:  # noqa: ARG002 - this method is not adaptive
        """Return augmented pictures # [N, 3, R, R]."""
        return cut_out(shift(change_colour(image)))


def change_colour(image: Tensor) -> Tensor:
    """Draw brightness in +-0.5, saturation in 0..2 and contrast in 0.5..1.5."""
    image = image + (_uniform(image) - 0.5)
    grey = image.mean(dim=1, keepdim=True)
    image = grey + (image - grey) * (_uniform(image) * 2)
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (image - mean) * (_uniform(image) + 0.5)


def shift(image: Tensor, ratio: float = 0.125) -> Tensor:
    """Move by up to an eighth of the width; black comes in."""
    side, reach = image.shape[-1], int(image.shape[-1] * ratio + 0.5)
    padded = F.pad(image, (reach,) * 4).permute(0, 2, 3, 1)  # [N, R + 2r, R + 2r, 3]
    rows, columns = (_corner(image, 2 * reach + 1) + torch.arange(side, device=image.device) for _ in range(2))
    picture = torch.arange(len(image), device=image.device)[:, None, None]
    return padded[picture, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cut_out(image: Tensor, ratio: float = 0.5) -> Tensor:
    """Blacken a square of half the width around a random place."""
    side = image.shape[-1]
    size = int(side * ratio + 0.5)
    line = torch.arange(side, device=image.device)
    inside = [_within(line, _corner(image, side + 1) - size // 2, size) for _ in range(2)]
    rows, columns = inside
    return image * ~(rows[:, :, None] & columns[:, None, :])[:, None]


def _within(line: Tensor, start: Tensor, size: int) -> Tensor:
    return (line[None] >= start) & (line[None] < start + size)


def _corner(image: Tensor, choices: int) -> Tensor:
    return torch.randint(0, choices, (len(image), 1), device=image.device)


def _uniform(image: Tensor) -> Tensor:
    return torch.rand(len(image), 1, 1, 1, device=image.device)
