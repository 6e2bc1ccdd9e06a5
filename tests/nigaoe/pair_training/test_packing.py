"""A pair's folder in files of a bounded size: what is joined is what was cut, and damage is found first."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from nigaoe.pair_training.packing import LARGEST, PART_BYTES, pack, unpack
from nigaoe.pair_training.pair_folder import PairPaths
from nigaoe_core.errors import TrainingError

PART = 100_000


@pytest.fixture
def pair(tmp_path: Path) -> PairPaths:
    """A folder with a large state, a log, and what nobody needs."""
    paths = PairPaths(tmp_path / "pair")
    state = paths.run("g_ori") / "state.safetensors"
    state.parent.mkdir(parents=True)
    state.write_bytes(np.random.default_rng(0).bytes(450_000))
    (paths.run("g_ori") / "log.jsonl").write_text('{"images": 1}\n')
    paths.weights.mkdir()
    paths.weight("g_ori").write_bytes(b"w" * 70_000)
    paths.journal.write_text("{}")
    paths.lock.touch()
    return paths


def digests(paths: PairPaths) -> dict[str, str]:
    files = (path for path in paths.root.rglob("*") if path.is_file() and path != paths.lock)
    return {str(path.relative_to(paths.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_is_joined_is_what_was_cut(pair: PairPaths, tmp_path: Path) -> None:
    """Every file, bit for bit, from parts of which none is too large."""
    parts = pack(pair, tmp_path / "packed", part_bytes=PART)
    assert len(parts) == 6
    assert all(path.stat().st_size <= PART for path in (tmp_path / "packed").iterdir())
    joined = PairPaths(tmp_path / "joined")
    unpack(tmp_path / "packed", joined)
    assert digests(joined) == digests(pair)
    assert PART_BYTES < LARGEST


def test_packing_again_leaves_no_part_of_the_earlier_time(pair: PairPaths, tmp_path: Path) -> None:
    """A smaller pair in the same place: only its own parts are there."""
    pack(pair, tmp_path / "packed", part_bytes=PART)
    (pair.run("g_ori") / "state.safetensors").unlink()
    parts = pack(pair, tmp_path / "packed", part_bytes=PART)
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {*(part.name for part in parts), "pack.json"}
    unpack(tmp_path / "packed", PairPaths(tmp_path / "joined"))


def test_damage_is_found_before_anything_is_written(pair: PairPaths, tmp_path: Path) -> None:
    """A flipped bit, a missing part, no list: a sentence each, and no half pair."""
    packed, joined = tmp_path / "packed", PairPaths(tmp_path / "joined")
    parts = pack(pair, packed, part_bytes=PART)
    whole = parts[2].read_bytes()
    parts[2].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(TrainingError, match="damaged"):
        unpack(packed, joined)
    parts[2].unlink()
    with pytest.raises(TrainingError, match="missing"):
        unpack(packed, joined)
    (packed / "pack.json").unlink()
    with pytest.raises(TrainingError, match="no packed pair"):
        unpack(packed, joined)
    assert not joined.root.exists()


def test_a_pair_is_neither_packed_into_itself_nor_unpacked_over_another(pair: PairPaths, tmp_path: Path) -> None:
    """Both would lose something."""
    with pytest.raises(TrainingError, match="its own folder"):
        pack(pair, pair.root / "packed")
    pack(pair, tmp_path / "packed")
    with pytest.raises(TrainingError, match="another folder"):
        unpack(tmp_path / "packed", pair)
