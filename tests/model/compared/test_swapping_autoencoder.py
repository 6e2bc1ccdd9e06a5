"""The Swapping Autoencoder's networks: sizes, codes, swaps."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from nigaoe_model.compared.swapping_autoencoder import (
    Codes,
    SwappingAutoencoder,
    unit_length,
)
from nigaoe_model.compared.swapping_autoencoder_architecture import (
    SHRUNK,
    SHRUNK_PATCHES,
    PatchArchitecture,
    SwappingAutoencoderArchitecture,
    official_architecture,
    rosinality_architecture,
)
from nigaoe_model.compared.swapping_autoencoder_discriminators import PatchDiscriminator, PictureDiscriminator
from nigaoe_model.compared.swapping_autoencoder_layers import PlainDemodulatedConv, ReflectedConv
from nigaoe_model.stylegan2.architecture import Architecture, published_architecture
from nigaoe_model.stylegan2.ops.resample import fir_kernel, upfirdn2d_reference

TINY = {
    "official": official_architecture(
        64, halvings=3, encoder_width=4, texture_halvings=1, texture_dim=12, generator_width=16
    ),
    "rosinality": rosinality_architecture(64, channel=2),
}
FFHQ_1024 = official_architecture(768, halvings=5, encoder_width=0.4 * 32, texture_dim=1536, generator_width=0.8 * 512)

pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.fixture
def no_gradients() -> Iterator[None]:
    """Nothing here learns."""
    with torch.no_grad():
        yield


@pytest.fixture(params=list(TINY))
def network(request: pytest.FixtureRequest) -> SwappingAutoencoder:
    """A seeded random network of each flavour, with noise as in a trained one."""
    torch.manual_seed(2)
    network = SwappingAutoencoder(TINY[request.param])
    for name, parameter in network.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network.eval()


def pictures(count: int, seed: int = 0) -> Tensor:
    """Return noise as pictures. # [count, 3, 64, 64]."""
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _millions(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.mark.parametrize(
    ("architecture", "encoder", "generator"),
    [
        (official_architecture(), 30.58, 25.06),
        (FFHQ_1024, 18.48, 19.91),
        (rosinality_architecture(), 32.94, 30.82),
        (SHRUNK["small"], 1.35, 1.93),
        (SHRUNK["medium"], 2.53, 2.10),
        (SHRUNK["large"], 4.49, 3.72),
    ],
)
def test_parameters_are_as_many_as_the_specification_says(
    architecture: SwappingAutoencoderArchitecture, encoder: float, generator: float
) -> None:
    """The published networks, and the ones of 64 pixels."""
    with torch.device("meta"):
        network = SwappingAutoencoder(architecture)
    assert round(_millions(network.encoder), 2) == encoder
    assert round(_millions(network.generator), 2) == generator


def test_discriminators_have_as_many_parameters_as_the_specification_says() -> None:
    """28.9 and 24.5 million; the small judge of pairs has 0.9."""
    with torch.device("meta"):
        assert round(_millions(PictureDiscriminator(published_architecture(256))), 1) == 28.9
        assert round(_millions(PatchDiscriminator(PatchArchitecture())), 1) == 24.5
        assert round(_millions(PatchDiscriminator(SHRUNK_PATCHES).pair), 1) == 0.9


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"resolution": 68}, "cannot be halved"),
        ({"up_channels": (8,)}, "doubles 1"),
        ({"texture_channels": (8, 8, 8)}, "too small"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(change: dict[str, object], hint: str) -> None:
    """With a sentence."""
    with pytest.raises(ValidationError, match=hint):
        SwappingAutoencoderArchitecture.model_validate(TINY["official"].model_dump() | change)


def test_an_architecture_survives_json() -> None:
    """As in a card."""
    for architecture in (*SHRUNK.values(), *TINY.values()):
        text = architecture.model_dump_json()
        assert SwappingAutoencoderArchitecture.model_validate_json(text) == architecture


def test_codes_have_their_shapes_and_the_officials_unit_length(network: SwappingAutoencoder) -> None:
    """Over channels: at every place of the structure, and of the whole texture."""
    architecture = network.architecture
    structure, texture = network.encode(pictures(3))
    assert structure.shape == (3, 8, architecture.structure_size, architecture.structure_size)
    assert texture.shape == (3, architecture.texture_dim)
    lengths = torch.cat([structure.norm(dim=1).flatten(), texture.norm(dim=1)])
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-4) == architecture.is_official


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("taps", [(1.0, 2.0, 1.0), (1.0, 3.0, 3.0, 1.0)])
def test_a_reflected_convolution_is_its_definition(size: int, taps: tuple[float, ...]) -> None:
    """Mirror, filter, convolve, keep every second place: against numpy and float64."""
    torch.manual_seed(0)
    kernel = fir_kernel(taps).double()
    layer = ReflectedConv(2, 3, size, resample_kernel=fir_kernel(taps), activate=False).double()
    layer.resample_kernel = kernel
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    spare = len(taps) - 2 + size - 1
    mirrored = torch.from_numpy(np.pad(x.numpy(), [(0, 0), (0, 0), *2 * [((spare + 1) // 2, spare // 2)]], "reflect"))
    filtered = upfirdn2d_reference(mirrored, kernel, up=1, down=1, padding=(0, 0))
    wanted = nn.functional.conv2d(filtered, layer.weight * layer.weight_gain)[:, :, ::2, ::2]
    assert layer(x).shape == (1, 3, 4, 4)
    assert torch.allclose(layer(x), wanted, atol=1e-6)


def test_the_papers_modulation_ignores_the_length_of_a_style() -> None:
    """Its style has unit RMS, and weights are demodulated without it: filters of unit norm over scaled inputs."""
    torch.manual_seed(0)
    layer = PlainDemodulatedConv(4, 5, 3, 6).double()
    layer.affine.bias.zero_()
    x, w = torch.randn(2, 4, 8, 8).double(), torch.randn(2, 6).double()
    assert torch.allclose(layer(x, w), layer(x, 7 * w), atol=1e-6)
    filters = torch.stack([kernel / kernel.norm() for kernel in layer.weight])
    style = layer.affine(w)
    scaled = x * (style / style.square().mean(dim=1, keepdim=True).sqrt())[:, :, None, None]
    assert torch.allclose(layer(x, w), nn.functional.conv2d(scaled, filters, padding=1), atol=1e-6)


def test_doubling_with_a_folded_filter_is_the_same(network: SwappingAutoencoder) -> None:
    """What a GPU computes as one dense convolution is the convolution and the filter behind it."""
    layer = network.generator.blocks[-1].conv1
    x, texture = torch.randn(2, layer.conv.weight.shape[1], 8, 8), torch.randn(2, network.architecture.texture_dim)
    folded, plain = layer.conv(x, texture, layer.up_kernel, layer.up_taps), layer.conv(x, texture, layer.up_kernel)
    assert folded.shape[2:] == (16, 16)
    assert torch.allclose(folded, plain, atol=1e-5)


def test_batching_never_changes_an_answer(network: SwappingAutoencoder) -> None:
    """Each photo gets what it gets alone, up to rounding."""
    photos, references = pictures(5), pictures(5, seed=1)
    together = network.swap(photos, references, alpha=0.7)
    alone = torch.cat([network.swap(p[None], r[None], alpha=0.7) for p, r in zip(photos, references, strict=True)])
    assert torch.allclose(together, alone, atol=1e-5 * float(alone.max() - alone.min()))


def test_fixed_noise_draws_the_same_picture_every_time_and_random_noise_does_not(
    network: SwappingAutoencoder,
) -> None:
    """Even by a network that was built anew: the maps follow from the architecture."""
    codes = network.encode(pictures(2))
    assert torch.equal(network.generator(codes), network.generator(codes))
    again = SwappingAutoencoder(network.architecture)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.generator(codes), network.generator(codes))
    assert not torch.equal(network.generator(codes, noise="random"), network.generator(codes, noise="random"))


def test_alpha_leads_linearly_from_the_own_texture_to_the_references(network: SwappingAutoencoder) -> None:
    """At 0 the photo is drawn again, at 1 wholly with the other texture, in between with a blend of both."""
    photo, reference = pictures(2), pictures(1, seed=1)
    own, other = network.encode(photo), network.encode(reference)
    assert torch.equal(network.swap(photo, reference, alpha=0.0), network.generator(own))
    textures = other.texture.expand(2, -1)
    assert torch.equal(network.swap(photo, reference), network.generator(Codes(own.structure, textures)))
    assert torch.equal(network(photo, reference), network.swap(photo, reference))
    half = Codes(own.structure, (own.texture + textures) / 2)
    assert torch.allclose(network.swap(photo, reference, alpha=0.5), network.generator(half), atol=1e-5)


def test_swapping_textures_twice_is_the_identity(network: SwappingAutoencoder) -> None:
    """Codes are exchanged, not mixed: two exchanges draw the pictures of none."""
    codes = network.encode(pictures(2))
    once = Codes(codes.structure, codes.texture.flip(0))
    twice = Codes(once.structure, once.texture.flip(0))
    assert torch.equal(network.generator(twice), network.generator(codes))
    assert not torch.equal(network.generator(once), network.generator(codes))


def test_the_mean_texture_does_not_depend_on_how_the_set_is_divided(network: SwappingAutoencoder) -> None:
    """It is the mean of the pictures' textures, of unit length where textures have it."""
    images = pictures(5)
    mean = network.mean_texture([images])
    assert torch.allclose(mean, network.mean_texture(images.split(2)), atol=1e-6)
    plain = network.encode(images).texture.mean(dim=0, keepdim=True)
    assert torch.allclose(mean, unit_length(plain) if network.architecture.is_official else plain, atol=1e-6)
    assert math.isclose(float(mean.norm()), 1.0, abs_tol=1e-4) or not network.architecture.is_official
    assert network.draw(images, mean).shape == images.shape


def test_what_cannot_be_swapped_is_refused(network: SwappingAutoencoder) -> None:
    """Other sizes, numbers that do not go together, blends beyond both ends, no pictures."""
    with pytest.raises(ValueError, match="must be"):
        network.swap(torch.zeros(1, 3, 32, 32), pictures(1))
    with pytest.raises(ValueError, match="textures cannot be given"):
        network.swap(pictures(3), pictures(2))
    with pytest.raises(ValueError, match="alpha"):
        network.swap(pictures(1), pictures(1), alpha=1.5)
    with pytest.raises(ValueError, match="no picture"):
        network.mean_texture([])


def test_convolutions_may_compute_in_a_shorter_type(network: SwappingAutoencoder) -> None:
    """Codes, pictures and logits keep the type of what was given, and stay close."""
    judges = (
        PictureDiscriminator(Architecture(resolution=64, channels={4: 8, 8: 8, 16: 6, 32: 6, 64: 4})),
        PatchDiscriminator(PatchArchitecture(patch_size=8, channels=(4, 6), pair_widths=(8,))),
    )
    reducible = (network.double().encoder, network.generator, *(judge.double() for judge in judges))
    photo, anime, patches = pictures(2).double(), pictures(2, seed=1).double(), pictures(2).double()[:, None, :, :8, :8]

    def answers() -> list[Tensor]:
        return [*network.encode(photo), network.swap(photo, anime), judges[0](photo), judges[1](patches, patches)]

    exact = answers()
    for part in reducible:
        part.reduced_dtype = torch.float32
    for short, full in zip(answers(), exact, strict=True):
        assert short.dtype == torch.float64
        assert not torch.equal(short, full)
        torch.testing.assert_close(short, full, rtol=1e-3, atol=1e-4)
