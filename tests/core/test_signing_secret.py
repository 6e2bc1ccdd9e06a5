"""The signing secret: one for all processes, for nobody else's eyes."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import Settings
from nigaoe_core.signing_secret import FILE_NAME, load_signing_secret


def test_it_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """The second start finds the first one's secret."""
    settings = Settings(data_dir=tmp_path / "new")
    secret = load_signing_secret(settings)
    assert len(secret) == 32
    assert load_signing_secret(settings) == secret
    path = tmp_path / "new" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [FILE_NAME]


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    """API and worker race for a fresh folder."""
    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(load_signing_secret, [Settings(data_dir=tmp_path)] * 16))
    assert len(secrets) == 1


def test_the_operators_own_wins(tmp_path: Path) -> None:
    """Replicas on several machines get it from their environment; nothing is written."""
    settings = Settings(data_dir=tmp_path, signing_secret="shared-by-all-replicas")  # type: ignore[arg-type]  # pydantic makes a secret of it.
    assert load_signing_secret(settings) == b"shared-by-all-replicas"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "abcd", "not hexadecimal"])
def test_a_damaged_file_is_not_used(tmp_path: Path, content: str) -> None:
    """A weak secret is worse than none."""
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(InvalidSettings):
        load_signing_secret(Settings(data_dir=tmp_path))


def test_a_folder_that_cannot_be_made_has_a_name(tmp_path: Path) -> None:
    """The data folder is a file."""
    (tmp_path / "data").write_text("")
    with pytest.raises(InvalidSettings, match="NIGAOE_SIGNING_SECRET"):
        load_signing_secret(Settings(data_dir=tmp_path / "data"))
