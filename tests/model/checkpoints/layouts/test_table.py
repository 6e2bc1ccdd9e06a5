"""One table, both directions."""

import pytest
import torch

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.checkpoints.layouts.table import Row, to_foreign, to_native

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
