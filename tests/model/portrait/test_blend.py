"""Degrees between person and drawing."""

import pytest
import torch

from nigaoe_core.errors import UsageError
from nigaoe_model.portrait.blend import blend, degrees_by_resolution
from nigaoe_model.portrait.pair import Pair


def test_the_ends_are_the_generators_themselves(tiny_pair: Pair) -> None:
    """Degree 0 is g_ori, degree 1 is g_fin, not a copy that rounds."""
    assert blend(tiny_pair, 0) is tiny_pair.g_ori.generator
    assert blend(tiny_pair, 1.0) is tiny_pair.g_fin.generator


def test_the_middle_lies_between(tiny_pair: Pair) -> None:
    """Half a degree is the mean of the weights, and asking again costs nothing."""
    half = blend(tiny_pair, 0.5)
    ours, theirs = tiny_pair.g_ori.generator.state_dict(), tiny_pair.g_fin.generator.state_dict()
    for name, tensor in half.state_dict().items():
        torch.testing.assert_close(tensor, (ours[name] + theirs[name]) / 2, msg=name)
    assert blend(tiny_pair, 0.5) is half


def test_each_resolution_can_have_its_own_degree(tiny_pair: Pair) -> None:
    """Person's shapes with the drawing's finest strokes, or the other way round."""
    mixed = blend(tiny_pair, {8: 0.0}).state_dict()
    name = "synthesis.blocks.b{}.conv1.conv.weight"
    assert torch.equal(mixed[name.format(8)], tiny_pair.g_ori.generator.state_dict()[name.format(8)])
    assert torch.equal(mixed[name.format(16)], tiny_pair.g_fin.generator.state_dict()[name.format(16)])


@pytest.mark.parametrize("degree", [-0.1, 1.1, {64: 0.5}, {8: 2.0}])
def test_impossible_degrees_are_refused(degree: float | dict[int, float]) -> None:
    """Outside 0..1 or for a block that does not exist, there is nothing to blend."""
    with pytest.raises(UsageError):
        degrees_by_resolution(degree, (4, 8, 16))
