"""Every layout covers every tensor of both networks, and tells its architecture from shapes alone."""

import pytest
import torch

from nigaoe_model.checkpoints.layouts import nvidia, rosinality, table, tensorflow
from nigaoe_model.stylegan2.architecture import Architecture, demo_architecture, published_architecture
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator

ARCHITECTURES = [
    demo_architecture(),
    published_architecture(32, channel_base=64),
    Architecture(resolution=16, channels={4: 5, 8: 3, 16: 2}, z_dim=4, w_dim=6, mapping_layers=1),
]


def _shapes(module: type[Generator] | type[Discriminator], architecture: Architecture) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in module(architecture).state_dict().items()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rosinality_covers_every_tensor(architecture: Architecture) -> None:
    """But for the mean style, which stands outside of the generator there."""
    rows = rosinality.generator_rows(architecture)
    ours = {row.native: row.native_shape for row in rows}
    assert ours | {"mapping.w_avg": (architecture.w_dim,)} == _shapes(Generator, architecture)
    critic = {row.native: row.native_shape for row in rosinality.discriminator_rows(architecture)}
    assert critic == _shapes(Discriminator, architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvidia_covers_every_tensor(architecture: Architecture) -> None:
    """Mean style included."""
    assert {row.native: row.native_shape for row in nvidia.generator_rows(architecture)} == _shapes(
        Generator, architecture
    )
    critic = {row.native: row.native_shape for row in nvidia.discriminator_rows(architecture)}
    assert critic == _shapes(Discriminator, architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tensorflow_covers_every_tensor(architecture: Architecture) -> None:
    """With our shapes, after its rules."""
    assert {entry.native: entry.shape for entry in tensorflow.generator_entries(architecture)} == _shapes(
        Generator, architecture
    )
    critic = {entry.native: entry.shape for entry in tensorflow.discriminator_entries(architecture)}
    assert critic == _shapes(Discriminator, architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes_tell_the_architecture(architecture: Architecture) -> None:
    """Resolution, widths, latents and mapping depth are read off the tensors."""
    with torch.device("meta"):
        state = Generator(architecture).state_dict()
    assert (
        rosinality.infer_architecture(table.to_foreign(rosinality.generator_rows(architecture), state)) == architecture
    )
    assert nvidia.infer_architecture(table.to_foreign(nvidia.generator_rows(architecture), state)) == architecture


def test_names_of_the_table_in_the_facts() -> None:
    """The published correspondences, written down once more by hand."""
    rows = {row.native: row.foreign for row in rosinality.generator_rows(demo_architecture())}
    nvidias = {row.foreign: row.native for row in nvidia.generator_rows(demo_architecture())}
    pairs = {
        "mapping.fc0.weight": "style.1.weight",
        "synthesis.b4.const": "input.input",
        "synthesis.b4.conv1.weight": "conv1.conv.weight",
        "synthesis.b4.torgb.bias": "to_rgb1.bias",
        "synthesis.b16.conv0.affine.bias": "convs.2.conv.modulation.bias",
        "synthesis.b16.conv1.noise_strength": "convs.3.noise.weight",
        "synthesis.b64.conv1.noise_const": "noises.noise_8",
        "synthesis.b64.torgb.weight": "to_rgbs.3.conv.weight",
    }
    assert {name: rows[nvidias[name]] for name in pairs} == pairs
