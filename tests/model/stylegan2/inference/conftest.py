"""Pictures for frozen networks to look at."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def pictures(count: int, size: int, seed: int = 0) -> Tensor:
    """Soft random colours. # [count, 3, size, size]."""
    coarse = torch.randn(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(-1, 1)


@pytest.fixture
def soft_pictures() -> Callable[..., Tensor]:
    """A function that makes soft random pictures of any size."""
    return pictures
