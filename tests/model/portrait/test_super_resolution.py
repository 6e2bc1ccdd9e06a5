"""Real-ESRGAN's networks against what they promise: size, range, and indifference to tiling."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nigaoe_core.bundled import REALESR_ANIMEVIDEOV3
from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_model.portrait.super_resolution import DENSE_BLOCKS, CompactUpscaler, ResidualDenseUpscaler


@pytest.fixture(scope="module")
def compact() -> CompactUpscaler:
    return CompactUpscaler(REALESR_ANIMEVIDEOV3)


def test_pictures_become_four_times_as_large(compact: CompactUpscaler) -> None:
    """Non-square pictures too, and colours stay in range even for input that is not."""
    large = compact(torch.randn(2, 3, 8, 12))
    assert large.shape == (2, 3, 32, 48)
    assert large.abs().max() <= 1


def test_a_flat_colour_stays_that_colour(compact: CompactUpscaler) -> None:
    """The network adds detail, not a cast."""
    flat = torch.full((1, 3, 16, 16), 0.3)
    inner = compact(flat)[:, :, 16:-16, 16:-16]
    assert (inner - 0.3).abs().max() < 0.05


@pytest.mark.parametrize("tile", [16, 23])
def test_tiles_leave_no_seams(compact: CompactUpscaler, tile: int) -> None:
    """Overlapping by the receptive field makes the tiled result equal the whole."""
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 40, 56) * 2 - 1
    torch.testing.assert_close(compact(picture, tile=tile), compact(picture, tile=64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("network", [CompactUpscaler, ResidualDenseUpscaler])
def test_a_foreign_file_is_refused(network: type[CompactUpscaler | ResidualDenseUpscaler], tmp_path: Path) -> None:
    """A safetensors file of another network gets a sentence that says where else to turn, not a stack of keys."""
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(BrokenCheckpoint, match="choose another upscaler"):
        network(tmp_path / "x.safetensors")


def test_the_large_network_reads_basicsrs_names_and_adds_up(dense_file: Path) -> None:
    """With the residuals' last convolutions at zero the blocks change nothing, so a hand-made file is predictable.

    The first convolution hands red, green and blue on, the last one takes them back: what remains is the picture,
    enlarged by the nearest neighbour.
    """
    picture = torch.rand(2, 3, 6, 5) * 2 - 1
    large = ResidualDenseUpscaler(dense_file)(picture)
    expected = picture.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(large, expected, atol=1e-5, rtol=0)


@pytest.fixture
def dense_file(tmp_path: Path) -> Path:
    """Weights of the large network that hand three channels through."""
    tensors = {}
    for block in range(DENSE_BLOCKS):
        for dense in (1, 2, 3):
            for conv in range(1, 6):
                stem = f"body.{block}.rdb{dense}.conv{conv}"
                outputs, inputs = (64, 192) if conv == 5 else (32, 64 + 32 * (conv - 1))
                scale = 0.0 if conv == 5 else 0.1
                tensors[f"{stem}.weight"] = scale * torch.randn(outputs, inputs, 3, 3)
                tensors[f"{stem}.bias"] = scale * torch.randn(outputs)
    for name, outputs, inputs in (("first", 64, 3), ("body", 64, 64), ("last", 3, 64)):
        tensors |= _through(f"conv_{name}", outputs, inputs, weight=0.0 if name == "body" else 1.0)
    for name in ("up1", "up2", "hr"):
        tensors |= _through(f"conv_{name}", 64, 64)
    save_file({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / "large.safetensors")
    return tmp_path / "large.safetensors"


def _through(name: str, outputs: int, inputs: int, weight: float = 1.0) -> dict[str, torch.Tensor]:
    """A convolution that leaves the first three channels as they are."""
    kernel = torch.zeros(outputs, inputs, 3, 3)
    for channel in range(3):
        kernel[channel, channel, 1, 1] = weight
    return {f"{name}.weight": kernel, f"{name}.bias": torch.zeros(outputs)}
