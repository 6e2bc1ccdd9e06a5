"""The losses of GANs N' Roses: each against its law, and a step's terms against numbers computed by hand in float64."""

import math

import pytest
import torch
from torch import Tensor

from nigaoe_model.compared.gans_n_roses import GansNRosesGenerator
from nigaoe_model.compared.gans_n_roses_architecture import GansNRosesArchitecture
from nigaoe_model.compared.gans_n_roses_discriminators import GansNRosesDiscriminator, StyleDiscriminator
from nigaoe_model.compared.gans_n_roses_losses import (
    Batch,
    Chance,
    GeneratorTerms,
    LossWeights,
    Networks,
    Translation,
    adversarial_discriminator_loss,
    adversarial_generator_loss,
    cycle_loss,
    discriminator_terms,
    distance_in_features,
    draw_chance,
    generator_terms,
    r1_of_means,
    r1_terms,
    style_consistency,
    style_reconstruction,
    translate,
)
from nigaoe_model.inversion.feature_distance import FeatureNetwork

ARCHITECTURE = GansNRosesArchitecture(
    size=16, num_down=1, channels={4: 6, 8: 6, 16: 6}, latent_dim=3, style_dim=8, mapping_layers=2, local_size=8
)
COUNT = 3


@pytest.fixture
def networks() -> Networks:
    """Seeded, in double precision."""
    torch.manual_seed(0)
    return Networks(
        photo_to_anime=GansNRosesGenerator(ARCHITECTURE).double(),
        anime_to_photo=GansNRosesGenerator(ARCHITECTURE).double(),
        photo_discriminator=GansNRosesDiscriminator(ARCHITECTURE).double(),
        anime_discriminator=GansNRosesDiscriminator(ARCHITECTURE).double(),
        style_discriminator=StyleDiscriminator(ARCHITECTURE.latent_dim).double(),
    )


@pytest.fixture
def batch() -> Batch:
    """Pictures in double precision."""
    random = torch.Generator().manual_seed(1)
    return Batch(*(torch.rand(COUNT, 3, 16, 16, generator=random, dtype=torch.float64) * 2 - 1 for _ in range(4)))


@pytest.fixture
def chance() -> Chance:
    """Drawn once, in double precision."""
    drawn = draw_chance(COUNT, ARCHITECTURE.latent_dim, random=torch.Generator().manual_seed(2))
    return Chance(
        drawn.anime_codes.double(),
        drawn.photo_codes.double(),
        drawn.anime_rows,
        drawn.photo_rows,
        drawn.photo_order,
        drawn.anime_order,
    )


@pytest.fixture
def made(networks: Networks, batch: Batch, chance: Chance) -> Translation:
    """The batch translated."""
    return translate(networks, batch, chance)


def _squares(first: Tensor, second: Tensor) -> Tensor:
    """A distance: the mean squared difference of each pair."""
    return (first - second).square().mean(dim=(1, 2, 3))


def _softplus(x: Tensor) -> float:
    return math.fsum(math.log1p(math.exp(v)) for v in x.flatten().tolist()) / x.numel()


def test_undecided_discriminators_lose_log_two_an_output() -> None:
    """Logits of 0: 2 log 2 for each of three outputs of a discriminator, log 2 on average for a generator."""
    outputs = [torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 8, 8), torch.zeros(2, 1)]
    assert adversarial_discriminator_loss(outputs, outputs).item() == pytest.approx(6 * math.log(2))
    assert adversarial_generator_loss(outputs).item() == pytest.approx(math.log(2))


def test_every_output_counts_alike_whatever_its_size() -> None:
    """A tower with four times the positions has no more say."""
    small, large = torch.full((2, 1, 4, 4), -1.5), torch.full((2, 1, 8, 8), 0.5)
    expected = (_softplus(-small) + _softplus(-large)) / 2
    assert adversarial_generator_loss([small, large]).item() == pytest.approx(expected)
    expected = _softplus(-small) + _softplus(large) + _softplus(-large) + _softplus(small)
    assert adversarial_discriminator_loss([small, large], [large, small]).item() == pytest.approx(expected, rel=1e-5)


def test_the_better_judge_loses_less() -> None:
    """The two players pull in opposite directions."""
    sure, unsure = torch.full((2, 1), 3.0), torch.full((2, 1), 1.0)
    assert adversarial_discriminator_loss([sure], [-sure]) < adversarial_discriminator_loss([unsure], [-unsure])
    assert adversarial_generator_loss([sure]) < adversarial_generator_loss([unsure])


def test_one_style_for_all_augmentations_costs_nothing() -> None:
    """Equal rows: 0. Otherwise the population's variance of every dimension, added."""
    assert style_consistency(torch.randn(1, 8).expand(4, 8)).item() == pytest.approx(0, abs=1e-12)
    style = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
    assert style_consistency(style).item() == pytest.approx(8 / 3 + 2)
    assert style_consistency(style + 5).item() == pytest.approx(8 / 3 + 2, rel=1e-5)


def test_what_comes_back_as_it_was_costs_nothing() -> None:
    """Cycle and style reconstruction are mean squares."""
    pictures, codes = torch.rand(2, 3, 8, 8), torch.randn(2, 8)
    assert cycle_loss(pictures, pictures).item() == 0
    assert cycle_loss(pictures + 0.5, pictures).item() == pytest.approx(0.25, rel=1e-4)
    assert style_reconstruction(codes, codes).item() == 0
    assert style_reconstruction(codes - 2, codes).item() == pytest.approx(4, rel=1e-4)


def test_r1_of_a_plane_is_its_slope() -> None:
    """Outputs a . x: the mean's gradient is a / N a sample, and outputs add."""
    slope, real = torch.tensor([3.0, 4.0]), torch.randn(5, 2, requires_grad=True)
    logits = real @ slope[:, None]
    assert r1_of_means([logits], real).item() == pytest.approx(25 / 5**2)
    assert r1_of_means([logits, 2 * logits], real).item() == pytest.approx(25 / 5**2 * (1 + 4))
    with_places = logits[:, :, None, None].expand(5, 1, 4, 4)
    assert r1_of_means([with_places], real).item() == pytest.approx(25 / 5**2)


def test_the_distance_in_features_is_zero_for_equal_pictures() -> None:
    """It is symmetric, one number a pair, and grows with the difference."""
    network = FeatureNetwork(lambda image: [image, torch.nn.functional.avg_pool2d(image, 2)])
    distance = distance_in_features(network)
    first, second = torch.rand(3, 3, 8, 8) * 2 - 1, torch.rand(3, 3, 8, 8) * 2 - 1
    second[0] = first[0]
    found = distance(first, second)
    assert found.shape == (3,)
    assert found[0].item() == pytest.approx(0, abs=1e-10)
    assert found[1:].min() > 0.1
    torch.testing.assert_close(distance(second, first), found)


def test_chance_is_a_draw_without_repetition() -> None:
    """Rows are different ones of both kinds, orders are permutations, and a seed gives the same again."""
    chance = draw_chance(4, 8, random=torch.Generator().manual_seed(5))
    assert chance.anime_codes.shape == chance.photo_codes.shape == (4, 8)
    for rows in (chance.anime_rows, chance.photo_rows):
        assert len(set(rows.tolist())) == 4
        assert 0 <= rows.min() <= rows.max() < 8
    for order in (chance.photo_order, chance.anime_order):
        assert sorted(order.tolist()) == [0, 1, 2, 3]
    again = draw_chance(4, 8, random=torch.Generator().manual_seed(5))
    assert torch.equal(again.anime_codes, chance.anime_codes)
    assert torch.equal(again.anime_order, chance.anime_order)
    torch.manual_seed(5)
    of_the_global_seed = draw_chance(4, 8)
    assert torch.equal(of_the_global_seed.anime_codes, chance.anime_codes)


def test_styles_are_drawn_or_read(networks: Networks, batch: Batch, chance: Chance, made: Translation) -> None:
    """Row i below N is the drawn code i, row N + i the code read off the i-th anime face by its own network."""
    read = networks.anime_to_photo.style_code(batch.anime)
    for row, used in zip(chance.anime_rows.tolist(), made.used_anime_codes, strict=True):
        torch.testing.assert_close(used, chance.anime_codes[row] if row < COUNT else read[row - COUNT])
    content = networks.photo_to_anime.content(batch.one_photo)
    torch.testing.assert_close(made.anime, networks.photo_to_anime.decode(content, made.used_anime_codes))


def test_the_discriminators_terms_are_the_sum_by_hand(
    networks: Networks, batch: Batch, chance: Chance, made: Translation
) -> None:
    """Real pictures and drawn codes against drawings and read codes, all outputs added."""
    expected = 0.0
    for network, real, fake in (
        (networks.photo_discriminator, batch.photos, made.photo),
        (networks.anime_discriminator, batch.anime, made.anime),
    ):
        expected += sum(_softplus(-output) for output in network(real))
        expected += sum(_softplus(output) for output in network(fake))
    for drawn, read in ((chance.anime_codes, made.read_anime_codes), (chance.photo_codes, made.read_photo_codes)):
        expected += _softplus(-networks.style_discriminator(drawn)) + _softplus(networks.style_discriminator(read))
    assert discriminator_terms(networks, batch, chance, made).item() == pytest.approx(expected, rel=1e-10)


def test_the_discriminators_step_leaves_the_generators_alone(
    networks: Networks, batch: Batch, chance: Chance, made: Translation
) -> None:
    """No gradient passes a drawing or a code on its way back."""
    torch.autograd.backward(discriminator_terms(networks, batch, chance, made) + r1_terms(networks, batch, chance))
    assert all(parameter.grad is None for parameter in networks.photo_to_anime.parameters())
    assert all(parameter.grad is not None for parameter in networks.photo_discriminator.parameters())
    assert all(parameter.grad is not None for parameter in networks.style_discriminator.parameters())


def test_r1_is_the_slope_measured_by_small_steps(networks: Networks, batch: Batch, chance: Chance) -> None:
    """Central differences of the style discriminator's mean give the same penalty as its derivative."""
    step, codes = 1e-6, chance.anime_codes
    squares = 0.0
    for i in range(codes.numel()):
        shift = torch.zeros_like(codes).flatten()
        shift[i] = step
        ahead, behind = (networks.style_discriminator(codes + sign * shift.view_as(codes)).mean() for sign in (1, -1))
        squares += ((ahead - behind) / (2 * step)).item() ** 2
    codes = codes.clone().requires_grad_()
    found = r1_of_means([networks.style_discriminator(codes)], codes).item()
    assert found == pytest.approx(squares / COUNT, rel=1e-5)
    assert r1_terms(networks, batch, chance).item() > 80 * found


def test_r1_adds_all_discriminators(networks: Networks, batch: Batch, chance: Chance) -> None:
    """Both of pictures and twice the one of styles, each of what is real to it; times gamma / 2 and the interval."""
    judged = (
        (networks.photo_discriminator, batch.photos),
        (networks.anime_discriminator, batch.anime),
        (networks.style_discriminator, chance.anime_codes),
        (networks.style_discriminator, chance.photo_codes),
    )
    plain = 0.0
    for network, real in judged:
        leaf = real.clone().requires_grad_()
        outputs = network(leaf)
        plain += r1_of_means([outputs] if isinstance(outputs, Tensor) else outputs, leaf).item()
    assert r1_terms(networks, batch, chance).item() == pytest.approx(10 / 2 * 16 * plain, rel=1e-10)
    assert r1_terms(networks, batch, chance, gamma=0.5, every=3).item() == pytest.approx(0.25 * 3 * plain, rel=1e-10)


def test_the_generators_terms_are_the_sums_by_hand(
    networks: Networks, batch: Batch, chance: Chance, made: Translation
) -> None:
    """Each from its formula, both directions added."""
    there, back = networks.photo_to_anime, networks.anime_to_photo
    terms = generator_terms(networks, batch, chance, made, _squares)

    outputs = (networks.photo_discriminator(made.photo), networks.anime_discriminator(made.anime))
    adversarial = sum(sum(_softplus(-output) for output in three) / 3 for three in outputs)
    assert terms.adversarial.item() == pytest.approx(adversarial, rel=1e-10)
    read = (made.read_anime_codes, made.read_photo_codes)
    judged = sum(_softplus(-networks.style_discriminator(codes)) for codes in read)
    assert terms.style_adversarial.item() == pytest.approx(judged, rel=1e-10)

    styles = (there.style_code(batch.one_photo), back.style_code(batch.one_anime))
    spread = sum(((s - s.mean(dim=0)).square().sum() / COUNT).item() for s in styles)
    assert terms.style_consistency.item() == pytest.approx(spread, rel=1e-10)

    photo = back.decode(back.content(made.anime), styles[0][chance.photo_order])
    anime = there.decode(there.content(made.photo), styles[1][chance.anime_order])
    cycle = ((photo - batch.one_photo).square().mean() + (anime - batch.one_anime).square().mean()).item()
    assert terms.cycle.item() == pytest.approx(cycle, rel=1e-10)
    assert terms.feature_distance.item() == pytest.approx(cycle, rel=1e-10)  # of this test's distance

    found = (back.style_code(made.anime), there.style_code(made.photo))
    used = (made.used_anime_codes, made.used_photo_codes)
    missed = sum((f - u).square().mean().item() for f, u in zip(found, used, strict=True))
    assert terms.style_reconstruction.item() == pytest.approx(missed, rel=1e-10)


def test_terms_are_weighted_as_published() -> None:
    """1, 2, 50, 20, 10, 5."""
    terms = GeneratorTerms(*(torch.tensor(1000.0**i, dtype=torch.float64) for i in range(6)))
    assert terms.total(LossWeights()).item() == 5_010_020_050_002_001


def test_a_few_steps_lower_the_loss(networks: Networks, batch: Batch, chance: Chance) -> None:
    """All parameters of both generators learn, and what they lose in total becomes less."""
    generators = (networks.photo_to_anime, networks.anime_to_photo)
    parameters = [parameter for generator in generators for parameter in generator.parameters()]
    adam = torch.optim.Adam(parameters, lr=2e-3, betas=(0.0, 0.99))
    totals = []
    for _ in range(5):
        made = translate(networks, batch, chance)
        total = generator_terms(networks, batch, chance, made, _squares).total(LossWeights())
        adam.zero_grad()
        torch.autograd.backward(total)
        assert all(parameter.grad is not None for parameter in parameters)
        adam.step()
        totals.append(total.item())
    assert totals[-1] < totals[0]
