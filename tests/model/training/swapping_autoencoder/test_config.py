"""What a run's settings may be."""

import pytest

from nigaoe_core.errors import TrainingError
from nigaoe_model.compared.swapping_autoencoder_architecture import SHRUNK, SHRUNK_PATCHES
from nigaoe_model.training.config import change_config, load_config
from nigaoe_model.training.swapping_autoencoder.config import SwappingAutoencoderConfig


@pytest.mark.parametrize("preset", SwappingAutoencoderConfig.presets)
def test_presets_are_networks_that_were_measured(preset: str) -> None:
    """Their sizes are documented with the architectures."""
    config = load_config(SwappingAutoencoderConfig, preset)
    assert config.architecture == SHRUNK["medium"]
    assert config.patch_discriminator == SHRUNK_PATCHES
    assert config.resolution == 64


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
