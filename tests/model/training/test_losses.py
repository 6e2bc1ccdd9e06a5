"""The losses against the papers' formulas, written out by hand in float64."""

import math

import pytest
import torch
from torch import Tensor

from nigaoe_model.training.losses import (
    discriminator_loss,
    generator_loss,
    lazy_adam,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)


def test_adversarial_losses_are_the_logistic_ones() -> None:
    """-log sigmoid(D) for fakes that should pass, -log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))) for the judge."""
    real = torch.tensor([[0.3], [-2.0]], dtype=torch.float64)
    fake = torch.tensor([[1.5], [-0.7]], dtype=torch.float64)

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    expected_g = sum(-math.log(sigmoid(x)) for x in (1.5, -0.7)) / 2
    expected_d = sum(-math.log(sigmoid(x)) for x in (0.3, -2.0)) / 2
    expected_d += sum(-math.log(1 - sigmoid(x)) for x in (1.5, -0.7)) / 2
    assert generator_loss(fake).item() == pytest.approx(expected_g, rel=1e-12)
    assert discriminator_loss(real, fake).item() == pytest.approx(expected_d, rel=1e-12)


@pytest.fixture
def tiny_judge() -> tuple[Tensor, Tensor, Tensor]:
    """D(x) = v . tanh(U x): small enough for a gradient by hand, v_k (1 - tanh^2) U."""
    random = torch.Generator().manual_seed(1)
    u = torch.randn(5, 3 * 2 * 2, dtype=torch.float64, generator=random)
    v = torch.randn(5, dtype=torch.float64, generator=random)
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64, generator=random)
    return u, v, x


def test_r1_is_the_mean_squared_gradient_norm(tiny_judge: tuple[Tensor, Tensor, Tensor]) -> None:
    """R1 = E |grad_x D(x)|^2, where every sample has a gradient of its own."""
    u, v, x = tiny_judge
    total = 0.0
    for sample in x.flatten(1):
        hidden = torch.tanh(u @ sample)
        gradient = ((1 - hidden**2) * v) @ u
        total += float(gradient @ gradient)
    shown = x.clone().requires_grad_(True)
    penalty = r1_penalty((torch.tanh(shown.flatten(1) @ u.t()) @ v)[:, None], shown)
    assert penalty.item() == pytest.approx(total / len(x), rel=1e-12)


def test_r1_trains_the_judge(tiny_judge: tuple[Tensor, Tensor, Tensor]) -> None:
    """Its gradient with respect to the weights is that of finite differences."""
    u, v, x = tiny_judge

    def penalty(weights: Tensor) -> Tensor:
        shown = x.clone().requires_grad_(True)
        return r1_penalty((torch.tanh(shown.flatten(1) @ u.t()) @ weights)[:, None], shown)

    weights = v.clone().requires_grad_(True)
    penalty(weights).backward()
    step = torch.zeros_like(v)
    step[2] = 1e-6
    numeric = (penalty(v + step) - penalty(v - step)) / 2e-6
    assert weights.grad[2].item() == pytest.approx(numeric.item(), rel=1e-6)


def test_path_length_is_the_norm_of_the_jacobian_times_noise() -> None:
    """|J^T y| with y ~ N(0, 1) / sqrt(H W), the layers' squares averaged, J by finite differences."""
    random = torch.Generator().manual_seed(2)
    weight = torch.randn(2 * 4, 3 * 4 * 4, dtype=torch.float64, generator=random) / 3
    ws = torch.randn(2, 2, 4, dtype=torch.float64, generator=random)
    noise = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=random)

    def draw(styles: Tensor) -> Tensor:
        return torch.sin(styles.flatten(1) @ weight).reshape(-1, 3, 4, 4)

    expected = []
    for n in range(2):
        squares = torch.zeros(2, dtype=torch.float64)
        for layer in range(2):
            for coordinate in range(4):
                step = torch.zeros_like(ws)
                step[n, layer, coordinate] = 1e-6
                slope = (draw(ws + step)[n] - draw(ws - step)[n]) / 2e-6
                squares[layer] += float((slope * noise[n]).sum() / math.sqrt(16)) ** 2
        expected.append(math.sqrt(float(squares.mean())))
    styles = ws.clone().requires_grad_(True)
    lengths = path_lengths(draw(styles), styles, noise)
    assert lengths.tolist() == pytest.approx(expected, rel=1e-7)


def test_path_length_penalty_is_the_squared_distance_from_the_mean() -> None:
    """E (|J^T y| - a)^2."""
    lengths = torch.tensor([1.0, 4.0], dtype=torch.float64)
    assert path_length_penalty(lengths, torch.tensor(2.0)).item() == pytest.approx((1 + 4) / 2)


@pytest.mark.parametrize(("every", "c"), [(16, 16 / 17), (4, 4 / 5), (0, 1.0)])
def test_lazy_regularisation_slows_adam_by_the_extra_steps(every: int, c: float) -> None:
    """Appendix B: lambda' = c lambda and beta' = beta^c with c = k / (k + 1)."""
    lr, betas = lazy_adam(0.002, 0.99, every)
    assert lr == pytest.approx(0.002 * c)
    assert betas == (0.0, pytest.approx(0.99**c))
