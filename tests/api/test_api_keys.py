"""API keys are kept as hashes in a file that servers read again."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nigaoe_api.api_keys import KeyRing, create_key, read_keys, revoke_key
from nigaoe_core.errors import InvalidSettings, UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "keys.json"


def test_a_key_is_known_by_its_hash(path: Path) -> None:
    """The file contains nothing that opens anything, and only its owner reads it."""
    text, key = create_key(path, "Avatar shop", "shop", max_active_jobs=3)
    assert text not in path.read_text()
    assert text.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing(path).find(text) == key
    assert (key.tenant, key.max_active_jobs) == ("shop", 3)


def test_a_ring_notices_new_and_revoked_keys(path: Path) -> None:
    """Without being made again."""
    ring = KeyRing(path)
    assert ring.find("ngk_000000000000_x") is None
    text, key = create_key(path, "one", "one")
    assert ring.find(text) == key
    assert revoke_key(path, key.id).revoked_at is not None
    assert ring.find(text) is None


def test_revoking_twice_changes_nothing(path: Path) -> None:
    """And an unknown id is an error."""
    _, key = create_key(path, "one", "one")
    assert revoke_key(path, key.id) == revoke_key(path, key.id)
    with pytest.raises(UsageError, match="nigaoe keys list"):
        revoke_key(path, "ffffffffffff")


def test_keys_made_at_once_are_all_kept(path: Path) -> None:
    """A lock keeps two editors apart, and no draft stays behind."""
    with ThreadPoolExecutor(8) as pool:
        made = [text for text, _ in pool.map(lambda number: create_key(path, f"k{number}", "one"), range(24))]
    ring = KeyRing(path)
    assert all(ring.find(text) for text in made)
    assert sorted(file.name for file in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


@pytest.mark.parametrize(("name", "tenant"), [("", "one"), ("one", "No Spaces"), ("one", "../up"), ("one", "")])
def test_names_that_cannot_be_used_are_refused(path: Path, name: str, tenant: str) -> None:
    """A tenant's name becomes a folder's."""
    with pytest.raises(UsageError):
        create_key(path, name, tenant)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"format": 2, "keys": []})])
def test_a_damaged_file_is_an_error(path: Path, content: str) -> None:
    """Nobody gets in, and nothing is overwritten."""
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(InvalidSettings):
        read_keys(path)
    with pytest.raises(InvalidSettings):
        create_key(path, "one", "one")
    assert path.read_text() == content
