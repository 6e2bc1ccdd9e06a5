"""The first drawings of a generator are looked at by number and by eye."""

from pathlib import Path

import pytest
import torch

from core.errors import BrokenCheckpoint
from model.checkpoint import Checkpoint, load_checkpoint
from model.generator import Generator
from model.importers.self_test import COLUMNS, SHEET_SIDE, run_self_test


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
