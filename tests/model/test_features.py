"""The feature network: its features, its distance, and that neither training nor folding changes it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_model.features import (
    EfficientNetFeatures,
    FrozenFeatures,
    feature_distance,
    frozen_features,
    shared_features,
)


def soft_pictures(count: int, size: int, seed: int = 0) -> Tensor:
    """Soft random colours. # [count, 3, size, size]."""
    coarse = torch.randn(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(-1, 1)


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


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_folding_changes_no_feature(layout: torch.memory_format) -> None:
    """All five levels agree with the unfolded network."""
    image = soft_pictures(2, 64)
    frozen = FrozenFeatures(shared_features(), memory_format=layout)
    for level, expected in zip(frozen(image), shared_features()(image), strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-3, atol=1e-3)


def test_folding_leaves_the_network_itself_alone() -> None:
    """Folding works on a copy."""
    before = {name: tensor.clone() for name, tensor in shared_features().state_dict().items()}
    FrozenFeatures(shared_features())
    after = shared_features().state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_picture_alone_gives_the_same_bits() -> None:
    """Features and input gradient of one picture are exactly its part of a batch's."""
    frozen = frozen_features(shared_features())

    def both(part: Tensor) -> list[Tensor]:
        leaf = part.clone().requires_grad_()
        levels = frozen(leaf)
        return [*levels, *torch.autograd.grad(sum(level.sin().sum() for level in levels), leaf)]  # type: ignore[arg-type]

    images = soft_pictures(5, 64)
    whole = both(images)
    for rows in (slice(0, 1), slice(3, 4), slice(1, 4)):
        for part, expected in zip(both(images[rows]), whole, strict=True):
            assert torch.equal(part, expected[rows])


def test_odd_sizes_are_refused() -> None:
    """A side that cannot be halved five times is an error that says so."""
    with pytest.raises(ValueError, match="multiples of 32"):
        frozen_features(shared_features())(torch.zeros(1, 3, 48, 48))


def test_one_copy_serves_all_engines() -> None:
    """Asking twice folds once."""
    assert frozen_features(shared_features()) is frozen_features(shared_features())
