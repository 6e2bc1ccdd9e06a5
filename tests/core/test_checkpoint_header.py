"""Reading a checkpoint's own words without torch."""

import json
from pathlib import Path
from typing import Any

import pytest

from nigaoe_core.bundled import BUNDLED_WEIGHTS, EFFICIENTNET_LITE0
from nigaoe_core.checkpoint_header import read_facts, read_header
from nigaoe_core.errors import BrokenCheckpoint, ForeignCheckpoint


def _write(path: Path, card: Any) -> Path:
    header = json.dumps({"__metadata__": {"nigaoe": json.dumps(card)}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


def test_the_bundled_generator_tells_its_facts() -> None:
    """Resolution and domain come from the card inside the file."""
    facts = read_facts(BUNDLED_WEIGHTS / "g_ori.safetensors")
    assert (facts.name, facts.resolution, facts.domain, facts.trainable_blocks) == ("g_ori", 128, "human", None)


def test_the_header_lists_the_tensors() -> None:
    """Names, types and shapes are known without reading one number."""
    header = read_header(BUNDLED_WEIGHTS / "g_ori.safetensors")
    assert header["generator.synthesis.blocks.b4.const"]["shape"] == [256, 4, 4]


def test_a_safetensors_file_of_another_program_is_foreign() -> None:
    """The feature network has no card."""
    with pytest.raises(ForeignCheckpoint, match="weights import"):
        read_facts(EFFICIENTNET_LITE0)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02}.", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0[]", b"\x09" + b"\0" * 7 + b"{"]
)
def test_no_safetensors_file_is_broken(tmp_path: Path, content: bytes) -> None:
    """Emptiness, pickles, absurd lengths and cut headers end in the same clear error."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(BrokenCheckpoint, match="safetensors"):
        read_facts(path)


@pytest.mark.parametrize("card", [[], {"name": "x"}, {"name": "x", "architecture": {"resolution": "wide"}}, 5])
def test_a_damaged_card_is_broken(tmp_path: Path, card: Any) -> None:
    """A card that lacks the architecture says so instead of raising a KeyError."""
    with pytest.raises(BrokenCheckpoint, match="metadata"):
        read_facts(_write(tmp_path / "x.safetensors", card))
