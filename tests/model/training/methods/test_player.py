"""One side of an adversarial game."""

import pytest
import torch
from torch import Tensor, nn

from nigaoe_model.stylegan2.checkpoint import tensor_digest
from nigaoe_model.training.methods.player import Player


def player(*, averaged: bool = True) -> Player:
    """Two layers that learn together."""
    torch.manual_seed(0)
    networks = {"first": nn.Linear(2, 2), "second": nn.Linear(2, 1)}
    return Player(networks, rate=torch.tensor(0.1), betas=(0.0, 0.99), averaged=averaged)


def loss_of(side: Player) -> Tensor:
    """A number that both layers move."""
    return side.networks["second"](side.networks["first"](torch.ones(3, 2))).square().mean()


def test_networks_have_gradients_only_while_they_learn() -> None:
    """The opponent's loss leads through them, and must not move them."""
    side = player()
    assert not loss_of(side).requires_grad
    with side.learning():
        loss = loss_of(side)
        assert side.descend(loss) == 0
    before = loss.item()
    assert loss_of(side).item() < before
    side.drop_gradients()
    assert all(parameter.grad is None for network in side.networks.values() for parameter in network.parameters())


@pytest.mark.parametrize("fault", ["the loss", "a gradient"])
def test_a_step_that_is_not_finite_is_left_out(fault: str) -> None:
    """Neither weights nor Adam's moments take it in; the root of zero is finite, its gradient is not."""
    side = player()
    with side.learning():
        assert side.descend(loss_of(side)) == 0
        before = tensor_digest(side.tensors())
        loss = loss_of(side)
        broken = loss * float("nan") if fault == "the loss" else loss + (loss - loss).sqrt()
        assert side.descend(broken) == 1
    assert bool(torch.isfinite(broken)) == (fault == "a gradient")
    assert tensor_digest(side.tensors()) == before


def test_averages_follow_slowly() -> None:
    """By the rate; where none are kept there is nothing to follow."""
    side = player()
    start = side.averages["first"].weight.clone()
    with side.learning():
        side.descend(loss_of(side))
    side.follow(torch.tensor(0.25))
    expected = 0.75 * start + 0.25 * side.networks["first"].weight
    torch.testing.assert_close(side.averages["first"].weight, expected)
    assert player(averaged=False).averages == {}


def test_a_side_goes_on_where_another_one_stopped() -> None:
    """Weights, averages, moments: two sides of one state make the same next step."""
    first, second = player(), player()
    with first.learning():
        first.descend(loss_of(first))
    first.follow(torch.tensor(0.5))
    second.restore({name: tensor.clone() for name, tensor in first.tensors().items()})
    for side in (first, second):
        with side.learning():
            side.descend(loss_of(side))
        side.follow(torch.tensor(0.5))
    assert tensor_digest(first.tensors()) == tensor_digest(second.tensors())
    with pytest.raises(RuntimeError, match="size mismatch"):
        second.restore(first.tensors() | {"first.weight": torch.zeros(3, 3)})
