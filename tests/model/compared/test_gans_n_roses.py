"""GANs N' Roses draws: shapes, what depends on what, and batches."""

import pytest
import torch
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.compared.gans_n_roses import (
    GansNRoses,
    GansNRosesGenerator,
    Style,
    seeded_code,
)
from nigaoe_model.compared.gans_n_roses_architecture import GansNRosesArchitecture

ARCHITECTURE = GansNRosesArchitecture(
    size=32,
    num_down=2,
    channels={4: 12, 8: 12, 16: 10, 32: 8},
    latent_dim=4,
    style_dim=16,
    mapping_layers=2,
    residual_blocks=2,
    local_size=16,
)


@pytest.fixture
def method() -> GansNRoses:
    """Both directions, seeded."""
    torch.manual_seed(0)
    networks = [GansNRosesGenerator(ARCHITECTURE).eval().requires_grad_(requires_grad=False) for _ in range(2)]
    return GansNRoses(*networks)


@pytest.fixture
def photos() -> Tensor:
    """Four pictures."""
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_shapes_are_as_the_architecture_says(method: GansNRoses, photos: Tensor) -> None:
    """Content keeps places, a style code is one row, and a drawing has the photo's size."""
    content, code = method.photo_to_anime.encode(photos)
    assert (content.shape, code.shape) == ((4, 12, 8, 8), (4, 4))
    assert method.photo_to_anime.decode(content, code).shape == photos.shape
    torch.testing.assert_close(method.photo_to_anime.content(photos), content)
    torch.testing.assert_close(method.photo_to_anime.style_code(photos), code)


def test_networks_may_compute_in_another_type(method: GansNRoses, photos: Tensor) -> None:
    """Pictures and codes keep their own; the numbers are those of networks of that type, up to the last bits."""
    network = method.photo_to_anime
    exact = network(photos, seeded_code(0, 4).expand(4, -1)), network.style_code(photos)
    network.reduced_dtype = torch.float64
    content, code = network.encode(photos)
    found = network.decode(content, seeded_code(0, 4).expand(4, -1)), code
    assert content.dtype == network.content(photos).dtype == torch.float64
    assert [tensor.dtype for tensor in (*found, network.style_code(photos))] == [torch.float32] * 3
    torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-3)


def test_a_drawing_depends_on_photo_and_style(method: GansNRoses, photos: Tensor) -> None:
    """Another photo or another seed, another drawing; the same of both, the same drawing."""
    first, same, seed, photo = method.draw(photos[[0, 0, 0, 1]], [7, 7, 8, 7])
    assert torch.equal(first, same)
    assert (first - seed).abs().max() > 1e-3
    assert (first - photo).abs().max() > 1e-3
    assert first.abs().max() <= 1


def test_batching_never_changes_an_answer(method: GansNRoses, photos: Tensor) -> None:
    """Each photo alone, with a seed or an anime face, gives what it gets in company and in any order."""
    styles: list[Style] = [3, photos[2], 5, photos[0]]
    together = method.draw(photos, styles)
    for i, style in enumerate(styles):
        torch.testing.assert_close(method.draw(photos[i : i + 1], [style])[0], together[i], atol=1e-5, rtol=1e-5)
    turned = method.draw(photos.flip(0), styles[::-1])
    torch.testing.assert_close(turned.flip(0), together, atol=1e-5, rtol=1e-5)


def test_a_reference_gives_its_own_style(method: GansNRoses, photos: Tensor) -> None:
    """The style is read by the other direction, whose source domain is anime."""
    assert method.anime_to_photo is not None
    code = method.anime_to_photo.style_code(photos[3:])
    expected = method.photo_to_anime(photos[:1], code).clamp(-1, 1)
    torch.testing.assert_close(method.draw(photos[:1], [photos[3]]), expected)


def test_a_reference_needs_the_other_direction(method: GansNRoses, photos: Tensor) -> None:
    """Half of the method draws by seeds, and says so otherwise."""
    half = GansNRoses(method.photo_to_anime)
    assert half.draw(photos[:1], [1]).shape == (1, 3, 32, 32)
    with pytest.raises(CheckpointMismatch, match="G_B2A"):
        half.draw(photos[:1], [photos[1]])


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 32, 32), (3, 32, 16)])
def test_pictures_of_another_size_are_refused(method: GansNRoses, shape: tuple[int, ...]) -> None:
    """As a photo and as a reference, instead of a drawing of something else."""
    with pytest.raises(ValueError, match="pictures must be"):
        method.draw(torch.zeros(2, *shape), [1, 2])
    with pytest.raises(ValueError, match="pictures must be"):
        method.draw(torch.zeros(2, 3, 32, 32), [torch.zeros(3, 32, 32), torch.zeros(shape)])


def test_every_photo_needs_a_style(method: GansNRoses, photos: Tensor) -> None:
    """One each; no photo draws no picture."""
    with pytest.raises(ValueError, match="as many styles"):
        method.draw(photos, [1])
    assert method.draw(photos[:0], []).shape == (0, 3, 32, 32)


def test_a_seed_gives_the_same_code_everywhere() -> None:
    """Whatever else draws numbers in between."""
    code = seeded_code(11, 8)
    torch.randn(5)
    assert torch.equal(seeded_code(11, 8), code)
    assert not torch.equal(seeded_code(12, 8), code)
