"""Every layout covers every tensor of both networks, and tells its architecture from shapes alone."""

import pytest
import torch

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.checkpoints.families import FAMILIES, Family, nvidia, rosinality, tensorflow
from nigaoe_model.checkpoints.layouts import (
    Row,
    discriminator_rows,
    generator_rows,
    infer_architecture,
    to_foreign,
    to_native,
)
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
    rows = generator_rows(rosinality.generator_layout, architecture)
    ours = {row.native: row.native_shape for row in rows}
    assert ours | {"mapping.w_avg": (architecture.w_dim,)} == _shapes(Generator, architecture)
    critic = {row.native: row.native_shape for row in discriminator_rows(rosinality.discriminator_layout, architecture)}
    assert critic == _shapes(Discriminator, architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvidia_covers_every_tensor(architecture: Architecture) -> None:
    """Mean style included."""
    assert {row.native: row.native_shape for row in generator_rows(nvidia.generator_layout, architecture)} == _shapes(
        Generator, architecture
    )
    critic = {row.native: row.native_shape for row in discriminator_rows(nvidia.discriminator_layout, architecture)}
    assert critic == _shapes(Discriminator, architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tensorflow_covers_every_tensor(architecture: Architecture) -> None:
    """With our shapes, after its rules."""
    assert {
        row.native: row.native_shape for row in generator_rows(tensorflow.generator_layout, architecture)
    } == _shapes(Generator, architecture)
    critic = {row.native: row.native_shape for row in discriminator_rows(tensorflow.discriminator_layout, architecture)}
    assert critic == _shapes(Discriminator, architecture)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes_tell_the_architecture(architecture: Architecture, family: Family) -> None:
    """Resolution, widths, latents and mapping depth are read off the tensors."""
    rows = generator_rows(family.generator, architecture)
    state = {row.foreign: torch.empty(row.foreign_shape, device="meta") for row in rows}
    assert infer_architecture(family.generator, state) == architecture


def test_a_network_larger_than_any_is_refused() -> None:
    """What is beyond our largest resolution or deepest mapping network is not cut off."""
    rows = generator_rows(nvidia.generator_layout, published_architecture(32, channel_base=64))
    state = {row.foreign: torch.empty(row.foreign_shape, device="meta") for row in rows}
    for resolution in (64, 128, 256, 512, 1024, 2048):
        state[f"synthesis.b{resolution}.conv1.bias"] = torch.empty(1, device="meta")
    with pytest.raises(ValueError, match="resolution"):
        infer_architecture(nvidia.generator_layout, state)
    deep = {f"mapping.fc{i}.weight": torch.empty(512, 512, device="meta") for i in range(20)}
    with pytest.raises(ValueError, match="mapping_layers"):
        infer_architecture(nvidia.generator_layout, state | deep)


def test_names_of_the_table_in_the_facts() -> None:
    """The published correspondences, written down once more by hand."""
    rows = {row.native: row.foreign for row in generator_rows(rosinality.generator_layout, demo_architecture())}
    nvidias = {row.foreign: row.native for row in generator_rows(nvidia.generator_layout, demo_architecture())}
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


ROWS = [Row("ours", "theirs", (6,), (1, 2, 3)), Row("strength", "noise.weight", (), (1,))]


def test_there_and_back_is_the_identity() -> None:
    """Names and shapes change, numbers do not."""
    state = {"ours": torch.arange(6.0), "strength": torch.tensor(2.0)}
    foreign = to_foreign(ROWS, state)
    assert foreign["theirs"].shape == (1, 2, 3)
    back = to_native(ROWS, foreign)
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_what_is_missing_is_named() -> None:
    """The message helps to tell the families apart."""
    with pytest.raises(CheckpointMismatch, match=r"noise\.weight"):
        to_native(ROWS, {"theirs": torch.zeros(1, 2, 3)})


def test_another_shape_is_named() -> None:
    """With both shapes."""
    with pytest.raises(CheckpointMismatch, match=r"\[6\] where the architecture needs \[1, 2, 3\]"):
        to_native(ROWS, {"theirs": torch.zeros(6), "noise.weight": torch.zeros(1)})
