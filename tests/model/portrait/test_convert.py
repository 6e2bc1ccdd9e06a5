"""One conversion: what is searched, what is chosen, and how often anything is drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing_counter import DrawingCounter

from nigaoe_core.errors import WrongSize
from nigaoe_core.jobs import Method
from nigaoe_model.inversion.request import InversionResult
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.convert import (
    ConversionOptions,
    Role,
    conclude,
    inversion_engine,
    inversion_requests,
    restyle,
    searched,
    target_of,
    with_seed,
)
from nigaoe_model.portrait.drawing import Look
from nigaoe_model.portrait.pair import Pair, load_generator
from nigaoe_model.portrait.palette import measure_palette

LOOK = Look(truncation_psi=0.7, colours=1.0)


@pytest.fixture
def pair(tiny_pair: Pair) -> Pair:
    """Three blocks of 16 pixels, of which the style shares the first, with a palette."""
    palette = measure_palette(tiny_pair.g_ori.generator, tiny_pair.g_fin.generator, samples=32)
    return replace(tiny_pair, g_fin=replace(tiny_pair.g_fin, palette=palette))


@pytest.fixture
def target() -> torch.Tensor:
    return target_of(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8), 16)


def found(pair: Pair, options: ConversionOptions, target: torch.Tensor) -> dict[Role, InversionResult]:
    results: dict[Role, InversionResult] = {}
    for role, request in inversion_requests(pair, options, target).items():
        (finished,) = inversion_engine(searched(pair, role), 1).run([request])
        results[role] = finished.unwrap()
    return results


@pytest.mark.parametrize(
    ("method", "look", "passes"),
    [
        (Method.CROSS, LOOK, [3, 3]),
        (Method.CROSS, Look(), [3, 2]),  # The trunk that both share is drawn once.
        (Method.CROSS, Look(0.5, 0.7), [3, 3]),
        (Method.DIRECT, LOOK, [3, 3]),
        (Method.BEST, LOOK, [3, 3, 3]),  # The candidates, all at once, and then the one that was chosen.
    ],
)
def test_a_conversion_draws_person_and_drawing_once(
    pair: Pair, target: torch.Tensor, method: Method, look: Look, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass of each generator, however the drawing is truncated, coloured or blended."""
    options = ConversionOptions(method, InversionSettings(steps=2), look)
    results = found(pair, options, target)
    drawn = DrawingCounter(monkeypatch)
    conclude(pair, options, results, target, None)
    assert drawn.take() == passes


def test_a_restyle_draws_the_drawing_alone(pair: Pair, target: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person of the conversion is the same in every style and look; the picture is the one of a full conversion."""
    options = ConversionOptions(settings=InversionSettings(steps=2), look=LOOK)
    results = found(pair, options, target)
    first = conclude(pair, options, results, target, None)
    drawn = DrawingCounter(monkeypatch)
    again = restyle(pair, first, Look(0.5, 0.9, 1.0), None)
    assert drawn.take() == [3]
    full = conclude(pair, replace(options, look=Look(0.5, 0.9, 1.0)), results, target, None)
    assert torch.equal(again.portrait.drawing, full.portrait.drawing)
    assert torch.equal(again.portrait.person, full.portrait.person)
    assert again.report == first.report


def test_every_generator_of_a_method_is_searched(
    pair: Pair, target: torch.Tensor, tiny_files: tuple[Path, Path], encoder_file: Path
) -> None:
    """Where a guess is asked for and nothing guesses, the search begins at the mean face."""
    guessing = replace(pair, g_ori=load_generator(tiny_files[0], encoder=encoder_file))
    options = ConversionOptions(Method.BEST, InversionSettings(start="encoder", background=0.5))
    requests = inversion_requests(guessing, options, target, seed=4)
    assert {role: request.settings.start for role, request in requests.items()} == {"g_ori": "encoder", "g_fin": "mean"}
    assert {request.seed for request in requests.values()} == {4}
    assert all(request.region is not None and request.region.shape == (1, 16, 16) for request in requests.values())


def test_a_crop_is_reduced_by_the_mean_of_its_blocks() -> None:
    """And one of another size was cut for another generator."""
    crop = torch.zeros(64, 64, 3, dtype=torch.uint8)
    crop[::2] = 255
    assert torch.allclose(target_of(crop.numpy(), 32), torch.zeros(3, 32, 32), atol=1e-6)
    with pytest.raises(WrongSize):
        target_of(crop[:60, :60].numpy(), 32)


def test_another_seed_gives_other_details(pair: Pair, target: torch.Tensor) -> None:
    """Noise maps of the seed; the latent itself stays."""
    options = ConversionOptions(settings=InversionSettings(steps=1))
    latent = conclude(pair, options, found(pair, options, target), target, None, seed=3).latent
    assert with_seed(latent, 3, pair) is latent
    other = with_seed(latent, 4, pair)
    assert other.noise is not None
    assert [m.shape[-1] for m in other.noise] == [4, 8, 8, 16, 16]
    assert torch.equal(other.w_plus, latent.w_plus)
