"""The Swapping Autoencoder's losses: a law or a slow float64 reference for each."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from nigaoe_model.compared.swapping_autoencoder import Codes, SwappingAutoencoder
from nigaoe_model.compared.swapping_autoencoder_architecture import PatchArchitecture, official_architecture
from nigaoe_model.compared.swapping_autoencoder_discriminators import PatchDiscriminator, PictureDiscriminator
from nigaoe_model.compared.swapping_autoencoder_losses import (
    Crops,
    SwappingNetworks,
    cut,
    discriminator_terms,
    draw_crops,
    generator_terms,
    neighbours,
    patch_r1_penalty,
    r1_terms,
    random_patches,
)
from nigaoe_model.compared.swapping_autoencoder_settings import ROSINALITY_WEIGHTS, CropSettings, LossWeights
from nigaoe_model.stylegan2.architecture import Architecture

CROPS = CropSettings(count=3, min_scale=0.25, max_scale=0.5, size=8)
WEIGHTS = LossWeights()


@pytest.fixture
def networks() -> SwappingNetworks:
    """Seeded random networks in float64, whose noise is off: a step can be computed twice."""
    torch.manual_seed(4)
    network = SwappingAutoencoder(
        official_architecture(32, halvings=2, encoder_width=4, texture_halvings=1, texture_dim=12, generator_width=16)
    ).double()
    picture = Architecture(resolution=32, channels={4: 8, 8: 6, 16: 6, 32: 4})
    patch = PatchArchitecture(patch_size=8, channels=(4, 6), pair_widths=(8,))
    return SwappingNetworks(
        network.encoder, network.generator, PictureDiscriminator(picture).double(), PatchDiscriminator(patch).double()
    )


@pytest.fixture
def images() -> Tensor:
    """Four pictures: two pairs. # [4, 3, 32, 32]."""
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


def seeded() -> torch.Generator:
    """Return the source of a step's crops."""
    return torch.Generator().manual_seed(9)


def log_sigmoid(logit: Tensor) -> float:
    """Return the mean of ``log sigmoid``, number by number."""
    return sum(math.log(1 / (1 + math.exp(-x))) for x in logit.flatten().tolist()) / logit.numel()


@given(seed=st.integers(0, 2**31), low=st.floats(0.05, 0.5), span=st.floats(0.0, 0.5, allow_subnormal=False))
def test_crops_stay_inside_and_have_sides_in_their_range(seed: int, low: float, span: float) -> None:
    """Each axis by itself; only the width may be mirrored."""
    settings = CropSettings(count=5, min_scale=low, max_scale=low + span)
    crops = draw_crops(4, settings, torch.Generator().manual_seed(seed), torch.device("cpu"))
    assert crops.centre.shape == crops.half.shape == (4, 5, 2)
    assert float((crops.centre.abs() + crops.half.abs()).max()) <= 1 + 1e-6
    assert low - 1e-6 <= float(crops.half.abs().min()) <= float(crops.half.abs().max()) <= low + span + 1e-6
    assert float(crops.half[..., 1].min()) > 0


def test_crop_sizes_in_the_wrong_order_are_refused() -> None:
    """A range that is empty draws nothing."""
    with pytest.raises(ValidationError, match="above max_scale"):
        CropSettings(min_scale=0.5, max_scale=0.25)


def test_about_half_of_the_crops_are_mirrored_and_axes_differ() -> None:
    """By chance, and independently of each other."""
    crops = draw_crops(100, CropSettings(), seeded(), torch.device("cpu"))
    assert 0.4 < float((crops.half[..., 0] < 0).double().mean()) < 0.6
    assert not torch.allclose(crops.half[..., 0].abs(), crops.half[..., 1].abs(), atol=1e-2)


def test_a_crop_of_whole_pixels_is_a_slice_and_a_mirrored_one_its_mirror(images: Tensor) -> None:
    """Pixels 8 to 16 from the left and 4 to 12 from the top, without resampling."""
    centre = torch.tensor([(8 + 4) / 16 - 1, (4 + 4) / 16 - 1], dtype=torch.float64)
    half = torch.full((2,), 4 / 16, dtype=torch.float64)
    mirrored = half * torch.tensor([-1.0, 1.0])
    crops = Crops(centre.expand(4, 2, 2), torch.stack([half, mirrored]).expand(4, 2, 2))
    patches = cut(images, crops, 8)
    assert torch.allclose(patches[:, 0], images[:, :, 4:12, 8:16])
    assert torch.allclose(patches[:, 1], images[:, :, 4:12, 8:16].flip(3))


def test_patches_keep_to_their_picture_and_to_its_colours(images: Tensor) -> None:
    """Bilinear resampling goes beyond no value, and each row of patches is cut from its own picture."""
    plain = torch.arange(4, dtype=torch.float64)[:, None, None, None].expand(4, 3, 32, 32)
    patches = random_patches(plain, CROPS, seeded())
    assert patches.shape == (4, 3, 3, 8, 8)
    assert torch.allclose(patches, plain[:, None, :, :8, :8].expand_as(patches))
    assert float(random_patches(images, CROPS, seeded()).abs().max()) <= float(images.abs().max())


def test_swapping_neighbours_twice_is_the_identity(images: Tensor) -> None:
    """Nobody keeps a place, and pairs do not mix."""
    swapped = neighbours(images)
    assert torch.equal(swapped, images[[1, 0, 3, 2]])
    assert torch.equal(neighbours(swapped), images)
    with pytest.raises(ValueError, match="even"):
        neighbours(images[:3])


def test_patch_features_of_the_reference_are_averaged(networks: SwappingNetworks, images: Tensor) -> None:
    """So neither their order nor how often each stands there matters; a patch's logit depends on no other patch."""
    judge = networks.patch_discriminator
    patches, reference = random_patches(images, CROPS, seeded()), random_patches(neighbours(images), CROPS, seeded())
    logits = judge(patches, reference)
    assert logits.shape == (4, 3)
    assert torch.allclose(judge(patches, reference.flip(1)), logits)
    assert torch.allclose(judge(patches, reference.repeat(1, 2, 1, 1, 1)), logits)
    assert torch.allclose(judge(patches[:, 1:2], reference)[:, 0], logits[:, 1])
    mean, one = judge.features(reference[:1])[0].mean(dim=0), judge.features(patches[:1, 2])[0]
    assert torch.allclose(judge.pair(torch.cat([mean, one])[None])[0, 0], logits[0, 2])


def test_the_generators_terms_are_their_formulas(networks: SwappingNetworks, images: Tensor) -> None:
    """Reconstructions of the first half, swaps of all, patches beside the picture that gave the texture."""
    terms = generator_terms(networks, images, weights=WEIGHTS, crops=CROPS, random=seeded())
    structure, texture = networks.encoder(images)
    rebuilt = networks.generator(Codes(structure[:2], texture[:2]), noise="none")
    mixed = networks.generator(Codes(structure[[1, 0, 3, 2]], texture), noise="none")
    random, judge = seeded(), networks.patch_discriminator
    reference, patches = random_patches(images, CROPS, random), random_patches(mixed, CROPS, random)
    wanted = {
        "reconstruction": (rebuilt - images[:2]).abs().mean().item(),
        "reconstruction_fake": -0.5 * log_sigmoid(networks.discriminator(rebuilt)),
        "mix": -log_sigmoid(networks.discriminator(mixed)),
        "patches": -log_sigmoid(judge(patches, reference)),
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, rel=1e-6)


def test_the_discriminators_terms_are_their_formulas(networks: SwappingNetworks, images: Tensor) -> None:
    """Fakes weigh half each, so that both together weigh what the real ones do; no gradient reaches the generator."""
    terms = discriminator_terms(networks, images, weights=WEIGHTS, crops=CROPS, random=seeded())
    structure, texture = networks.encoder(images)
    rebuilt = networks.generator(Codes(structure[:2], texture[:2]), noise="none")
    mixed = networks.generator(Codes(structure[[1, 0, 3, 2]], texture), noise="none")
    random, judge = seeded(), networks.patch_discriminator
    reference, others, fakes = (random_patches(image, CROPS, random) for image in (images, images, mixed))
    wanted = {
        "real": -log_sigmoid(networks.discriminator(images)),
        "reconstruction_fake": -0.5 * log_sigmoid(-networks.discriminator(rebuilt)),
        "mix": -0.5 * log_sigmoid(-networks.discriminator(mixed)),
        "patches": -log_sigmoid(judge(others, reference)) - log_sigmoid(-judge(fakes, reference)),
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, rel=1e-6)
    sum(terms.values()).backward()  # type: ignore[union-attr] # a sum of tensors
    assert all(parameter.grad is None for parameter in networks.generator.parameters())
    assert all(parameter.grad is not None for parameter in judge.parameters())


def test_all_fakes_weigh_one_in_rosinalitys_program(networks: SwappingNetworks, images: Tensor) -> None:
    """The other terms stay."""
    official = discriminator_terms(networks, images, weights=WEIGHTS, crops=CROPS, random=seeded())
    theirs = discriminator_terms(networks, images, weights=ROSINALITY_WEIGHTS, crops=CROPS, random=seeded())
    ratios = {name: (theirs[name] / official[name]).item() for name in official}
    assert ratios == pytest.approx({"real": 1.0, "reconstruction_fake": 2.0, "mix": 2.0, "patches": 1.0})


def test_the_generators_terms_reach_encoder_and_generator(networks: SwappingNetworks, images: Tensor) -> None:
    """The reference patches are constants: what is real does not learn."""
    for judge in (networks.discriminator, networks.patch_discriminator):
        judge.requires_grad_(requires_grad=False)
    terms = generator_terms(networks, images, weights=WEIGHTS, crops=CROPS, random=seeded())
    for name in terms:
        gradient = torch.autograd.grad(terms[name], networks.encoder.stem.weight, retain_graph=True)[0]
        assert float(gradient.abs().max()) > 0, name


def test_the_patch_penalty_of_a_linear_judge_is_known() -> None:
    """Logit ``<a, patch> + <b, mean of references>``: gradients are a, and b times K / L for each of L references."""
    torch.manual_seed(0)
    a, b = torch.randn(3, 4, 4).double(), torch.randn(3, 4, 4).double()
    patches = torch.randn(2, 5, 3, 4, 4).double().requires_grad_()
    reference = torch.randn(2, 5, 3, 4, 4).double().requires_grad_()

    def judge(patches: Tensor, reference: Tensor) -> Tensor:
        return (patches * a).sum(dim=(2, 3, 4)) + (reference.mean(dim=1, keepdim=True) * b).sum(dim=(2, 3, 4))

    found = patch_r1_penalty(judge, patches, reference)
    assert float(found) == pytest.approx(float(a.square().sum() + b.square().sum()) / 2)


def test_the_penalties_weigh_what_the_paper_says(networks: SwappingNetworks, images: Tensor) -> None:
    """16 times 5 of the picture's squared gradient, by finite differences, and 16 times a quarter of both patches'."""
    terms = r1_terms(networks, images, weights=WEIGHTS, crops=CROPS, random=seeded())
    squares = []
    for image in images:
        point = image[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(networks.discriminator(point).sum(), point)
        step = 1e-5 * gradient / gradient.norm()
        slope = (networks.discriminator(point + step) - networks.discriminator(point - step)) / 2e-5
        squares.append(slope.item() ** 2)
    assert terms["r1"].item() == pytest.approx(16 * 10 / 2 * sum(squares) / 4, rel=1e-4)
    random = seeded()
    patches, reference = (random_patches(images, CROPS, random).requires_grad_() for _ in range(2))
    logits = networks.patch_discriminator(patches, reference).sum()
    both = [g.square().sum(dim=(2, 3, 4)).mean() for g in torch.autograd.grad(logits, (patches, reference))]
    assert terms["patch_r1"].item() == pytest.approx(16 * 0.25 * float(both[0] + both[1]), rel=1e-6)
    (terms["r1"] + terms["patch_r1"]).backward()
    assert networks.patch_discriminator.stem.weight.grad is not None


def test_a_few_steps_on_one_batch_rebuild_it_better(images: Tensor) -> None:
    """Encoder and generator learn from these terms, and the discriminators from theirs."""
    torch.manual_seed(6)
    network = SwappingAutoencoder(
        official_architecture(32, halvings=2, encoder_width=4, texture_halvings=1, texture_dim=12, generator_width=16)
    )
    judges = (
        PictureDiscriminator(Architecture(resolution=32, channels={4: 8, 8: 6, 16: 6, 32: 4})),
        PatchDiscriminator(PatchArchitecture(patch_size=8, channels=(4, 6), pair_widths=(8,))),
    )
    networks, smooth = (
        SwappingNetworks(network.encoder, network.generator, *judges),
        F.interpolate(F.interpolate(images.float(), size=4), size=32, mode="bilinear"),
    )
    optimisers = [
        torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.0, 0.99)),
        torch.optim.Adam([p for judge in judges for p in judge.parameters()], lr=2e-3, betas=(0.0, 0.99)),
    ]
    losses = []
    for step in range(80):
        terms = (discriminator_terms if step % 2 else generator_terms)(
            networks, smooth, weights=WEIGHTS, crops=CROPS, random=seeded()
        )
        optimisers[step % 2].zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimisers[step % 2].step()
        losses += [] if step % 2 else [terms["reconstruction"].item()]
    assert losses[-1] < 0.8 * losses[0]


def test_a_crop_between_pixels_is_bilinear(images: Tensor) -> None:
    """Every pixel of a stretched and mirrored patch is the mean of four, weighted by nearness; borders repeat."""
    left, top, width, height, size = 20.3, 1.7, 11.0, 6.5, 8  # in pixels; the patch ends 0.7 pixels from the right
    centre = torch.tensor([(left + width / 2) / 16 - 1, (top + height / 2) / 16 - 1], dtype=torch.float64)
    half = torch.tensor([-width / 32, height / 32], dtype=torch.float64)
    patch = cut(images[:1], Crops(centre.expand(1, 1, 2), half.expand(1, 1, 2)), size)[0, 0]

    def value(channel: int, row: int, column: int) -> float:
        return images[0, channel, min(max(row, 0), 31), min(max(column, 0), 31)].item()

    for i in range(size):
        for j in range(size):
            x = left + width * (1 - (j + 0.5) / size) - 0.5  # pixel 0 has its centre half a pixel inside
            y = top + height * (i + 0.5) / size - 0.5
            column, row = math.floor(x), math.floor(y)
            right, below = x - column, y - row
            for channel in range(3):
                wanted = (
                    value(channel, row, column) * (1 - right) * (1 - below)
                    + value(channel, row, column + 1) * right * (1 - below)
                    + value(channel, row + 1, column) * (1 - right) * below
                    + value(channel, row + 1, column + 1) * right * below
                )
                assert patch[channel, i, j].item() == pytest.approx(wanted, abs=1e-9)


def test_the_patch_penalty_is_its_slope(networks: SwappingNetworks, images: Tensor) -> None:
    """By finite differences along each gradient: of the sum of a picture's logits, averaged over its patches."""
    judge, random = networks.patch_discriminator, seeded()
    patches, reference = random_patches(images[:2], CROPS, random), random_patches(images[:2], CROPS, random)
    squares = []
    for which in (0, 1):
        for picture in range(2):
            for patch in range(CROPS.count):
                shown = [patches.clone(), reference.clone()]
                shown[which].requires_grad_()
                (gradient,) = torch.autograd.grad(judge(*shown).sum(), shown[which])
                step = torch.zeros_like(gradient)
                step[picture, patch] = gradient[picture, patch]
                step *= 1e-5 / step.norm()
                with torch.no_grad():
                    ahead, behind = (
                        judge(*(s + sign * step if index == which else s for index, s in enumerate(shown))).sum()
                        for sign in (1, -1)
                    )
                squares.append(((ahead - behind) / 2e-5).item() ** 2)
    wanted = sum(squares) / (2 * 2 * CROPS.count)  # the mean over patches of each kind, and half of both
    found = patch_r1_penalty(judge, patches.requires_grad_(), reference.requires_grad_())
    assert found.item() == pytest.approx(wanted, rel=1e-4)
