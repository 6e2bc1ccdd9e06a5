"""The architecture's arithmetic and what it refuses."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nigaoe_model.stylegan2.architecture import Architecture, demo_architecture, published_architecture


@given(power=st.integers(4, 10))
def test_blocks_read_every_style_and_share_only_the_torgb_ones(power: int) -> None:
    """Going through the blocks touches each of the num_ws styles; neighbours overlap in one."""
    architecture = published_architecture(2**power)
    ranges = [architecture.layer_range(r) for r in architecture.resolutions]
    assert {i for r in ranges for i in r} == set(range(architecture.num_ws))
    assert all(a[-1] == b[0] for a, b in pairwise(ranges))


def test_published_widths() -> None:
    """1024 px has the paper's eighteen styles and its channel table."""
    architecture = published_architecture(1024)
    assert architecture.num_ws == 18
    assert [architecture.channels[r] for r in (4, 64, 128, 1024)] == [512, 512, 256, 32]


def test_trainable_blocks_count_from_the_output() -> None:
    """Four of the demo's five blocks leave only 4 x 4 frozen (FreezeG)."""
    demo = demo_architecture()
    assert demo.trainable_resolutions(4) == (8, 16, 32, 64)
    assert demo.trainable_resolutions(0) == ()
    with pytest.raises(ValueError, match=r"0\.\.5"):
        demo.trainable_resolutions(6)


def test_json_round_trip_keeps_the_channel_table() -> None:
    """JSON has only string keys; the architecture comes back with integers."""
    demo = demo_architecture()
    assert Architecture.model_validate_json(demo.model_dump_json()) == demo


@pytest.mark.parametrize(
    "change",
    [{"resolution": 48}, {"resolution": 2048}, {"channels": {4: 8}}, {"resample_filter": (1.0, 2.0, 1.0)}, {"x": 1}],
)
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    """Sizes that are no power of two, gaps in the table, odd filters and unknown fields do not pass."""
    with pytest.raises(ValidationError):
        Architecture.model_validate(demo_architecture().model_dump() | change)
