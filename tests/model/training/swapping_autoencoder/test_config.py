"""What a run's settings may be."""

import pytest
import torch

from nigaoe_core.errors import TrainingError
from nigaoe_model.compared.swapping_autoencoder import SwappingAutoencoder
from nigaoe_model.compared.swapping_autoencoder_architecture import SHRUNK, SHRUNK_PATCHES
from nigaoe_model.compared.swapping_autoencoder_discriminators import PatchDiscriminator, PictureDiscriminator
from nigaoe_model.training.config import change_config, load_config
from nigaoe_model.training.swapping_autoencoder.config import SwappingAutoencoderConfig


def test_the_first_preset_has_networks_that_were_measured() -> None:
    """Their sizes are documented with the architectures."""
    config = load_config(SwappingAutoencoderConfig, SwappingAutoencoderConfig.presets[0])
    assert config.architecture == SHRUNK["medium"]
    assert config.patch_discriminator == SHRUNK_PATCHES


@pytest.mark.parametrize("preset", SwappingAutoencoderConfig.presets)
def test_presets_are_small_networks_of_64_pixels(preset: str) -> None:
    """Encoder and generator have 3 to 8 million parameters, and both discriminators about as many."""
    config = load_config(SwappingAutoencoderConfig, preset)
    assert config.resolution == 64
    with torch.device("meta"):
        judges = PictureDiscriminator(config.discriminator), PatchDiscriminator(config.patch_discriminator)
        sides = (SwappingAutoencoder(config.architecture), torch.nn.ModuleList(judges))
    sizes = [sum(parameter.numel() for parameter in side.parameters()) for side in sides]
    assert all(3e6 < size < 8e6 for size in sizes)
    assert 0.5 < sizes[0] / sizes[1] < 2


def test_a_config_is_read_back_from_what_a_run_keeps(brisk: SwappingAutoencoderConfig) -> None:
    """JSON turns the table's resolutions into text and back."""
    assert SwappingAutoencoderConfig.model_validate_json(brisk.model_dump_json()) == brisk


def test_pairs_with_anime_are_spread_evenly(brisk: SwappingAutoencoderConfig) -> None:
    """So the first half, which alone is reconstructed, has its share; a third of six is two."""
    assert brisk.anime_pairs == (False, True, False, True)
    assert change_config(brisk, {"pairs.with_anime": 1.0}).anime_pairs == (True,) * 4
    assert sum(change_config(brisk, {"pairs.with_anime": 0.34, "batch": 12}).anime_pairs) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"batch": 6}, "multiple of 4"),
        ({"batch": 4}, "no anime face in its first half"),
        ({"pairs.with_anime": 0.0}, "greater than 0"),
        ({"crops.size": 16}, "crops.size is 16, patch_discriminator.patch_size 8"),
        ({"discriminator_channels": {"4": 8, "16": 8}}, r"no width for \[8\]"),
        ({"crops.scale": 1}, "crops.scale"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    brisk: SwappingAutoencoderConfig, changes: dict[str, object], reason: str
) -> None:
    """With what is wrong, before anything is trained."""
    with pytest.raises(TrainingError, match=reason):
        change_config(brisk, changes)
