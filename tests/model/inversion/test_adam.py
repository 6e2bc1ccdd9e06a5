"""Every row of the batched Adam is an Adam of its own."""

import torch

from nigaoe_model.inversion.adam import BatchedAdam, Pace


def reference(
    start: torch.Tensor, gradients: list[torch.Tensor], rate: float, betas: tuple[float, float]
) -> torch.Tensor:
    """What torch.optim.Adam makes of the same gradients."""
    parameter = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([parameter], lr=rate, betas=betas)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
    return parameter.detach()


def test_rows_equal_torch_adam_at_their_own_clocks_rates_and_memories() -> None:
    """Rows of different starts, rates and decays go where torch.optim.Adam would take each alone."""
    random = torch.Generator().manual_seed(0)
    starts = torch.randn(3, 4, 5, generator=random, dtype=torch.float64)
    gradients = torch.randn(12, 3, 4, 5, generator=random, dtype=torch.float64)
    rates, first_step = [0.1, 0.02, 0.5], [0, 4, 7]
    betas = [(0.9, 0.999), (0.8, 0.95), (0.0, 0.5)]
    adam = BatchedAdam.at(starts.clone())
    for step in range(12):
        present = sum(first <= step for first in first_step)
        paces = [Pace(step - first_step[row], rates[row], *betas[row]) for row in range(present)]
        adam.step(gradients[step, :present], paces)
    for row, (first, rate) in enumerate(zip(first_step, rates, strict=True)):
        expected = reference(starts[row], list(gradients[first:, row]), rate, betas[row])
        torch.testing.assert_close(adam.parameters[row], expected, rtol=1e-12, atol=1e-12)


def test_a_restarted_row_forgets() -> None:
    """A new tenant of a row inherits nothing from the old one, and the neighbour notices nothing."""
    random = torch.Generator().manual_seed(1)
    gradients = torch.randn(6, 2, 3, generator=random)
    adam, fresh = BatchedAdam.at(torch.zeros(2, 3)), BatchedAdam.at(torch.zeros(2, 3))
    for step in range(3):
        adam.step(gradients[step], [Pace(step, 0.1)] * 2)
    neighbour = adam.parameters[1].clone()
    adam.restart(0, torch.ones(3))
    fresh.restart(0, torch.ones(3))
    assert torch.equal(adam.parameters[1], neighbour)
    adam.step(gradients[3], [Pace(0, 0.1), Pace(3, 0.1)])
    fresh.step(gradients[3], [Pace(0, 0.1), Pace(3, 0.1)])
    assert torch.equal(adam.parameters[0], fresh.parameters[0])
