"""The table between the published names of GANs N' Roses and ours."""

import pytest
import torch

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.checkpoints.layouts import to_foreign, to_native
from nigaoe_model.compared.gans_n_roses_architecture import (
    GansNRosesArchitecture,
    published_gans_n_roses,
    small_gans_n_roses,
)
from nigaoe_model.compared.gans_n_roses_checkpoint import new_network
from nigaoe_model.compared.gans_n_roses_layout import (
    AVERAGED_NAMES,
    PHOTO_TO_ANIME,
    infer_architecture,
    network_rows,
    refuse_variants,
    stored_filters,
)

ARCHITECTURES = [
    published_gans_n_roses(3),
    published_gans_n_roses(4),
    small_gans_n_roses(64, channel_base=6144, channel_max=192, style_dim=192),
    small_gans_n_roses(128, channel_base=8192, channel_max=256, style_dim=256),
    GansNRosesArchitecture(
        size=16, num_down=2, channels={4: 5, 8: 6, 16: 7}, latent_dim=3, residual_blocks=2, local_size=4
    ),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", AVERAGED_NAMES)
def test_every_tensor_has_one_row(name: str, architecture: GansNRosesArchitecture) -> None:
    """Names and shapes are those of the network, and no published name is used twice."""
    with torch.device("meta"):
        state = new_network(name, architecture).state_dict()
    rows = network_rows(name, architecture)
    assert {row.native: row.native_shape for row in rows} == {key: tuple(t.shape) for key, t in state.items()}
    foreign = [row.foreign for row in rows]
    assert len(set(foreign)) == len(foreign)
    assert not set(foreign) & set(stored_filters(name, architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_shapes_tell_the_architecture(architecture: GansNRosesArchitecture) -> None:
    """All of it; where discriminators lie in the file, the end of the local tower too."""
    with torch.device("meta"):
        published = {
            name: to_foreign(network_rows(name, architecture), new_network(name, architecture).state_dict())
            for name in AVERAGED_NAMES
        }
    assert infer_architecture(published) == architecture
    alone = infer_architecture({PHOTO_TO_ANIME: published[PHOTO_TO_ANIME]})
    assert alone == architecture.model_copy(update={"local_size": min(32, architecture.size)})


@pytest.mark.parametrize("name", AVERAGED_NAMES)
def test_there_and_back_is_the_same(name: str) -> None:
    """Bit for bit."""
    architecture = ARCHITECTURES[-1]
    state = new_network(name, architecture).state_dict()
    rows = network_rows(name, architecture)
    back = to_native(rows, to_foreign(rows, state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_variants_are_refused() -> None:
    """A part that we lack and a filter that we do not compute with would give other pictures."""
    architecture = ARCHITECTURES[-1]
    state = new_network(PHOTO_TO_ANIME, architecture).state_dict()
    published = to_foreign(network_rows(PHOTO_TO_ANIME, architecture), state)
    published |= stored_filters(PHOTO_TO_ANIME, architecture)
    refuse_variants(PHOTO_TO_ANIME, published, architecture)
    with pytest.raises(CheckpointMismatch, match=r"convs\.0\.noise\.weight"):
        refuse_variants(PHOTO_TO_ANIME, published | {"convs.0.noise.weight": torch.zeros(1)}, architecture)
    for kernel in (torch.ones(4, 4), torch.ones(2, 2)):
        with pytest.raises(CheckpointMismatch, match="filter"):
            refuse_variants(PHOTO_TO_ANIME, published | {"convs.0.conv.blur.kernel": kernel}, architecture)
