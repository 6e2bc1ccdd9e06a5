"""The upscaler against what it promises: size, range, and indifference to tiling."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.errors import BrokenCheckpoint
from model.upscale import Upscaler


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler()


def test_pictures_become_four_times_as_large(upscaler: Upscaler) -> None:
    """Non-square pictures too, and colours stay in range even for input that is not."""
    large = upscaler(torch.randn(2, 3, 8, 12))
    assert large.shape == (2, 3, 32, 48)
    assert large.abs().max() <= 1


def test_a_flat_colour_stays_that_colour(upscaler: Upscaler) -> None:
    """The network adds detail, not a cast."""
    flat = torch.full((1, 3, 16, 16), 0.3)
    inner = upscaler(flat)[:, :, 16:-16, 16:-16]
    assert (inner - 0.3).abs().max() < 0.05


@pytest.mark.parametrize("tile", [16, 23])
def test_tiles_leave_no_seams(upscaler: Upscaler, tile: int) -> None:
    """Overlapping by the receptive field makes the tiled result equal the whole."""
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 40, 56) * 2 - 1
    torch.testing.assert_close(upscaler(picture, tile=tile), upscaler(picture, tile=64), atol=1e-5, rtol=0)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A safetensors file of another network gets a sentence, not a stack of keys."""
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(BrokenCheckpoint, match="upscaler"):
        Upscaler(tmp_path / "x.safetensors")
