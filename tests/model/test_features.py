"""The feature network: its features, its distance, and that it never changes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_model.features import EfficientNetFeatures, feature_distance, shared_features


def test_levels_have_their_strides() -> None:
    """One map a level, each as small as its stride says."""
    levels = EfficientNetFeatures(strides=(4, 16))(torch.zeros(1, 3, 64, 64))
    assert [level.shape[-1] for level in levels] == [16, 4]


def test_distance_is_zero_only_for_the_same_picture() -> None:
    """A little noise is near, another picture is far, and each sample is judged alone."""
    torch.manual_seed(0)
    network = shared_features()
    picture = torch.rand(2, 3, 64, 64) * 2 - 1
    near = network(picture + 0.02 * torch.randn_like(picture))
    distances = feature_distance(network(picture), near)
    assert distances.shape == (2,)
    assert feature_distance(network(picture), network(picture)).abs().max() < 1e-9
    assert (distances < feature_distance(network(picture), network(picture.flip(0)))).all()


def test_training_mode_cannot_be_entered() -> None:
    """Batch statistics would drift; the network stays in evaluation mode and without gradients."""
    network = EfficientNetFeatures().train()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """Weights of another network are recognised."""
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(BrokenCheckpoint, match="EfficientNet-Lite0"):
        EfficientNetFeatures(tmp_path / "x.safetensors")
