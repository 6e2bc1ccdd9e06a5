"""The shape of GANs N' Roses as data, and what networks of a shape weigh."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from nigaoe_model.compared.gans_n_roses import GansNRosesGenerator
from nigaoe_model.compared.gans_n_roses_architecture import (
    GansNRosesArchitecture,
    published_gans_n_roses,
    small_gans_n_roses,
)
from nigaoe_model.compared.gans_n_roses_discriminators import GansNRosesDiscriminator, StyleDiscriminator


def _millions(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@pytest.mark.parametrize(("num_down", "parameters", "content_size"), [(3, 31.45, 32), (4, 39.58, 16)])
def test_the_published_networks_weigh_what_they_should(num_down: int, parameters: float, content_size: int) -> None:
    """The published file has four halvings, the paper's training three."""
    architecture = published_gans_n_roses(num_down)
    with torch.device("meta"):
        assert round(_millions(GansNRosesGenerator(architecture)), 2) == parameters
        assert round(_millions(GansNRosesDiscriminator(architecture)), 1) == 18.4
        assert round(_millions(StyleDiscriminator(architecture.latent_dim)), 2) == 0.27
    assert architecture.content_size == content_size


@pytest.mark.parametrize(
    ("size", "channel_base", "channel_max", "style_dim", "generator", "discriminator"),
    [
        (64, 4096, 192, 128, 4.21, 2.06),
        (64, 6144, 192, 192, 5.28, 2.66),
        (64, 4096, 128, 128, 2.35, 1.27),
        (128, 8192, 192, 192, 5.82, 3.15),
        (128, 8192, 256, 256, 9.68, 4.80),
    ],
)
def test_small_networks_weigh_what_they_should(
    size: int, channel_base: int, channel_max: int, style_dim: int, generator: float, discriminator: float
) -> None:
    """One direction and one discriminator of each shape that may be trained here, in millions of parameters."""
    architecture = small_gans_n_roses(
        size, channel_base=channel_base, channel_max=channel_max, style_dim=style_dim, local_size=32
    )
    with torch.device("meta"):
        assert round(_millions(GansNRosesGenerator(architecture)), 2) == generator
        assert round(_millions(GansNRosesDiscriminator(architecture)), 2) == discriminator
    assert architecture.content_size == 16


def test_the_local_tower_of_a_small_picture_ends_at_a_quarter() -> None:
    """At 64 pixels a patch of the published tower's size would be too small to judge."""
    shape = {"channel_base": 4096, "channel_max": 192, "style_dim": 128}
    assert small_gans_n_roses(64, **shape).local_size == 16
    assert small_gans_n_roses(128, **shape).local_size == 32


def test_a_shape_survives_json() -> None:
    """A card stores it."""
    architecture = published_gans_n_roses()
    assert GansNRosesArchitecture.model_validate_json(architecture.model_dump_json()) == architecture


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"num_down": 4}, "cannot be halved 4 times"),
        ({"size": 48}, "power of two"),
        ({"channels": {4: 8, 8: 8, 16: 8}}, "no width for"),
        ({"local_size": 64}, "local_size"),
        ({"local_size": 12}, "local_size"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, object], hint: str) -> None:
    """Each with the reason."""
    shape: dict[str, object] = {"size": 32, "num_down": 2, "channels": {4: 8, 8: 8, 16: 8, 32: 8}}
    with pytest.raises(ValidationError, match=hint):
        GansNRosesArchitecture.model_validate(shape | change)
