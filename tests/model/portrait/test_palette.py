"""Which of a style's colours stand for a person's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.portrait.palette import REACH, SIDE, TEMPER, Palette, enough_samples, measure_palette
from nigaoe_model.stylegan2.checkpoint import METADATA_KEY, Checkpoint, load_checkpoint, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator


@pytest.fixture
def palette(tiny_generator: Generator, tiny_checkpoint: Checkpoint, child_of: Callable[..., Checkpoint]) -> Palette:
    """Of a style with two trained blocks."""
    return measure_palette(tiny_generator, child_of(tiny_checkpoint, trainable_blocks=2).build_generator(), samples=64)


@pytest.mark.parametrize("deviations", [-REACH, -1.0, 0.0, 0.5, REACH])
def test_who_is_darker_is_asked_to_be_drawn_darker(palette: Palette, deviations: float) -> None:
    """A person at some deviations from the mean is answered by a drawing at as many, tempered, from its own."""
    person = palette.person_mean + deviations * palette.person_spread
    drawing = palette.drawing_mean + deviations * TEMPER * palette.drawing_spread
    torch.testing.assert_close(palette.answer(person[None])[0], drawing)


def test_nobody_is_asked_to_be_drawn_where_no_drawing_is(palette: Palette) -> None:
    """Who is darker than almost everybody gets what the darkest get."""
    darkest, darker = (palette.person_mean - d * palette.person_spread for d in (REACH, REACH + 3))
    torch.testing.assert_close(palette.answer(darker[None]), palette.answer(darkest[None]))


def test_the_same_seed_is_the_same_palette(palette: Palette, tiny_generator: Generator) -> None:
    """Persons and drawings come of the same seeded latents."""
    again = measure_palette(tiny_generator, tiny_generator, samples=64)
    assert torch.equal(again.person_mean, palette.person_mean)
    assert not torch.equal(again.drawing_mean, palette.drawing_mean)


@pytest.mark.parametrize(("resolution", "samples"), [(16, 256), (64, 256), (256, 64), (512, 32), (1024, 32)])
def test_large_generators_draw_fewer_samples(resolution: int, samples: int) -> None:
    """So that importing one takes a CPU minutes and not an hour."""
    assert enough_samples(resolution) == samples


def test_a_file_keeps_it_to_the_bit(palette: Palette, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Also a slim file; and the generator's identity does not depend on it."""
    path = tmp_path / "style.safetensors"
    save_checkpoint(replace(tiny_checkpoint, palette=palette), path, dtype=torch.float16)
    loaded = load_checkpoint(path)
    assert loaded.palette is not None
    for name, tensor in palette.tensors().items():
        assert torch.equal(loaded.palette.tensors()[name], tensor), name
    save_checkpoint(tiny_checkpoint, path, dtype=torch.float16)
    assert load_checkpoint(path).digest == loaded.digest
    assert load_checkpoint(path).palette is None


@pytest.mark.parametrize("shape", [None, (3, SIDE + 1, SIDE)])
def test_a_damaged_palette_is_refused(
    palette: Palette, tiny_checkpoint: Checkpoint, tmp_path: Path, shape: tuple[int, ...] | None
) -> None:
    """A tensor that is missing or of another shape is named."""
    path = tmp_path / "style.safetensors"
    save_checkpoint(replace(tiny_checkpoint, palette=palette), path)
    tensors = load_file(path)
    del tensors["palette.drawing_spread"]
    if shape is not None:
        tensors["palette.drawing_spread"] = torch.ones(shape)
    save_file(tensors, path, metadata={METADATA_KEY: tiny_checkpoint.card.model_dump_json()})
    with pytest.raises(CheckpointMismatch, match="drawing_spread"):
        load_checkpoint(path)
