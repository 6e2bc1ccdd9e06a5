"""The first drawings of a generator are checked by numbers and shown."""

from pathlib import Path

import pytest
import torch

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_model.checkpoints.self_test import COLUMNS, SHEET_SIDE, _draw_middle, run_self_test
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, load_checkpoint
from nigaoe_model.stylegan2.generator import Generator


def _with(generator: Generator, name: str, value: float) -> Generator:
    with torch.no_grad():
        generator.state_dict()[name].fill_(value)
    return generator


def test_a_trained_generator_raises_no_warning(weights: Path) -> None:
    """The bundled pair's pictures have the statistics of photos, and both rows stand on the sheet."""
    g_ori = load_checkpoint(weights / "g_ori.safetensors").build_generator()
    g_fin = load_checkpoint(weights / "anime.safetensors").build_generator()
    result = run_self_test(g_fin, g_ori)
    assert result.warnings == ()
    assert result.sheet.shape == (2 * SHEET_SIDE + 4, COLUMNS * (SHEET_SIDE + 4) - 4, 3)
    assert len(result.pictures) == len(result.before) == COLUMNS


def test_a_blind_generator_is_noticed(tiny_checkpoint: Checkpoint) -> None:
    """Colours that do not depend on the latent."""
    generator = tiny_checkpoint.build_generator()
    for resolution in generator.architecture.resolutions:
        _with(generator, f"synthesis.blocks.b{resolution}.torgb.conv.weight", 0.0)
    warnings = " ".join(run_self_test(generator).warnings)
    assert "one colour" in warnings
    assert "same picture" in warnings


def test_a_generator_of_another_range_is_noticed(tiny_checkpoint: Checkpoint) -> None:
    """Colours far outside of [-1, 1]."""
    generator = _with(tiny_checkpoint.build_generator(), "synthesis.blocks.b16.torgb.bias", 9.0)
    assert any("outside" in warning for warning in run_self_test(generator).warnings)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_undefined_colours_are_an_error(tiny_checkpoint: Checkpoint, value: float) -> None:
    """Such a generator is of no use."""
    generator = _with(tiny_checkpoint.build_generator(), "synthesis.blocks.b16.torgb.bias", value)
    with pytest.raises(BrokenCheckpoint, match="undefined"):
        run_self_test(generator)


@torch.no_grad()
def test_the_last_blocks_of_a_large_generator_are_tried_too() -> None:
    """Pictures are looked at in 256 px; a number that is none in the block of 512 px is found all the same."""
    widths = dict.fromkeys([2**k for k in range(2, 10)], 4)
    torch.manual_seed(0)
    generator = Generator(Architecture(resolution=512, channels=widths, z_dim=4, w_dim=4, mapping_layers=1)).eval()
    assert run_self_test(generator).pictures[0].shape == (SHEET_SIDE, SHEET_SIDE, 3)
    generator.synthesis.block(512).conv1.conv.weight[0] = torch.nan
    with pytest.raises(BrokenCheckpoint, match="undefined"):
        run_self_test(generator)


@torch.no_grad()
def test_the_middle_is_drawn_as_the_whole_is() -> None:
    """Away from the cut the middle's pixels are those of the full picture, so the last blocks are truly tested."""
    widths = dict.fromkeys([2**k for k in range(2, 10)], 4)
    torch.manual_seed(0)
    generator = Generator(Architecture(resolution=512, channels=widths, z_dim=4, w_dim=4, mapping_layers=1)).eval()
    ws = torch.randn(1, generator.architecture.num_ws, 4)
    whole = generator.synthesis(ws, "fixed")[..., 144:-144, 144:-144]
    canvas = generator.synthesis.draw(ws, noise="fixed", stop=256)[-1]
    torch.testing.assert_close(_draw_middle(generator, ws, canvas)[..., 16:-16, 16:-16], whole, atol=1e-4, rtol=1e-4)
