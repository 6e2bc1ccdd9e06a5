"""Choosing parameters by tag."""

import copy

import pytest
from torch import nn

from nigaoe_model.stylegan2.tags import select, tag, tag_parameter, tags_of


def test_tags_add_up_and_select() -> None:
    """A parameter may carry several tags; a query finds those with any of the asked."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tag(network, "all")
    tag(network[1], "last")
    tag_parameter(network[1].bias, "bias")
    assert tags_of(network[1].bias) == {"all", "last", "bias"}
    assert [name for name, _ in select(network, "last")] == ["1.weight", "1.bias"]
    assert len(list(select(network, "all", "bias"))) == 4


def test_an_untagged_copy_is_noticed() -> None:
    """Deep copies lose tags silently; asking such a copy fails instead of freezing nothing."""
    network = nn.Linear(1, 1)
    tag(network, "all")
    with pytest.raises(ValueError, match="carry no tags"):
        list(select(copy.deepcopy(network), "all"))
