"""What a style shares with the generator it came from, by its tensors."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from nigaoe_core.errors import ParentMismatch
from nigaoe_model.checkpoints.parentage import adopt, compare
from nigaoe_model.portrait.pair import check_frozen, trunk_resolution
from nigaoe_model.stylegan2.checkpoint import Checkpoint

Child = Callable[..., Checkpoint]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_freeze_depth_is_measured(tiny_checkpoint: Checkpoint, child_of: Child, depth: int) -> None:
    """Whatever the file claims, the tensors decide."""
    parentage = compare(child_of(tiny_checkpoint, trainable_blocks=depth), tiny_checkpoint)
    assert (parentage.trainable_blocks, parentage.is_frozen) == (depth, True)
    assert parentage.latent_drift == 0
    assert len(parentage.shared) == 4 - depth


def test_one_changed_number_in_a_coarse_block_thaws_everything_after_it(tiny_checkpoint: Checkpoint) -> None:
    """Frozen means equal bit for bit."""
    state = {name: tensor.clone() for name, tensor in tiny_checkpoint.generator.items()}
    state["synthesis.blocks.b8.torgb.bias"][0] += 1e-6
    parentage = compare(replace(tiny_checkpoint, generator=state), tiny_checkpoint)
    assert parentage.trainable_blocks == 2
    assert parentage.shared == ("mapping", "b4", "b16")


def test_drift_is_told_in_numbers(tiny_checkpoint: Checkpoint) -> None:
    """Weights that moved by a tenth are said to have moved by a tenth."""
    moved = {name: tensor * 1.1 for name, tensor in tiny_checkpoint.generator.items()}
    parentage = compare(replace(tiny_checkpoint, generator=moved), tiny_checkpoint)
    assert not parentage.is_frozen
    assert parentage.trainable_blocks == 3
    assert parentage.changes["b4"] == pytest.approx(0.1, rel=1e-3)
    assert "10.0%" in parentage.sentence()
    assert parentage.latent_drift > 0


def test_half_precision_is_no_change(tiny_checkpoint: Checkpoint, child_of: Child) -> None:
    """A slim child of a full parent is compared in the type that both can express."""
    child = child_of(tiny_checkpoint, trainable_blocks=1)
    slim = replace(child, generator={name: tensor.half() for name, tensor in child.generator.items()})
    assert compare(slim, tiny_checkpoint).trainable_blocks == 1


def test_an_adopted_child_is_frozen_bit_for_bit(tiny_checkpoint: Checkpoint, child_of: Child) -> None:
    """Other noise maps and a slimmer type in the frozen part give way to the parent's, so that the trunk is shared."""
    child = child_of(tiny_checkpoint, trainable_blocks=1)
    state = {name: tensor.half() for name, tensor in child.generator.items()}
    state["synthesis.blocks.b8.conv0.noise_const"] = torch.zeros(8, 8)
    foreign = replace(child, generator=state, card=child.card.model_copy(update={"parent_sha256": None}))
    adopted = adopt(foreign, tiny_checkpoint, compare(foreign, tiny_checkpoint))
    assert adopted.card.parent_sha256 == tiny_checkpoint.digest
    check_frozen(tiny_checkpoint.build_generator(), adopted.build_generator(), trunk_resolution(adopted.card))
    assert adopted.generator["synthesis.blocks.b16.conv0.conv.weight"].dtype == torch.float16


def test_random_networks_are_no_family(tiny_checkpoint: Checkpoint) -> None:
    """The message gives the number by which they differ."""
    random = torch.Generator().manual_seed(9)
    other = {name: torch.randn(t.shape, generator=random) for name, t in tiny_checkpoint.generator.items()}
    with pytest.raises(ParentMismatch, match="cosine"):
        compare(replace(tiny_checkpoint, generator=other), tiny_checkpoint)
