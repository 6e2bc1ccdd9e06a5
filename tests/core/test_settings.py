"""Settings: every one explained, in range, and read from the environment."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import PREFIX, SECTIONS, Settings, load_settings, unknown_variables


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's variables nor a .env file play a part."""
    for name in unknown_variables():
        monkeypatch.delenv(name)
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_explained() -> None:
    """The operator's table is made of these sentences."""
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_every_setting_stands_in_one_section() -> None:
    """The sections are the table's headings."""
    names = [name for section in SECTIONS for name in section.model_fields]
    assert sorted(names) == sorted(Settings.model_fields)


def test_the_defaults_work_without_any_variable() -> None:
    """`nigaoe serve` needs no configuration."""
    settings = load_settings()
    assert settings.blob_location == str(settings.data_dir / "blobs")
    assert settings.registry_path == settings.data_dir / "weights"
    assert settings.weights_dir == BUNDLED_WEIGHTS
    assert settings.worker_concurrency == 10


def test_the_environment_is_read_and_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """NIGAOE_PORT is the setting `port`; a command-line option overrides it."""
    monkeypatch.setenv("NIGAOE_PORT", "9000")
    monkeypatch.setenv("NIGAOE_REDIS_URL", "")
    assert load_settings().port == 9000
    assert load_settings().redis_url is None
    assert load_settings(port=9001).port == 9001


def test_a_dot_env_file_is_read(tmp_path: Path) -> None:
    """For those who keep their settings beside the service."""
    (tmp_path / ".env").write_text("NIGAOE_SLOTS=7\nOTHER=1\n")
    assert load_settings().slots == 7


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "99999"), ("SLOTS", "many"), ("DEVICE", "tpu"), ("SIGNING_SECRET", "short")]
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message can be acted on, and repeats no value: it could be a secret."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(InvalidSettings, match=PREFIX + name) as error:
        load_settings()
    assert value not in str(error.value)


def test_settings_that_contradict_each_other_are_refused() -> None:
    """A lease must outlive two heartbeats."""
    with pytest.raises(InvalidSettings, match="lease_seconds"):
        load_settings(lease_seconds=5, heartbeat_seconds=4)


def test_misspelt_variables_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nigaoe doctor` tells of them."""
    monkeypatch.setenv("NIGAOE_REDISURL", "x")
    assert unknown_variables() == ["NIGAOE_REDISURL"]


def test_secrets_do_not_show() -> None:
    """Printing settings shows no secret."""
    settings = load_settings(signing_secret="0123456789abcdef", redis_url="redis://:password@host")
    assert "0123456789abcdef" not in repr(settings)
    assert "password" not in repr(settings)


def test_settings_do_not_change() -> None:
    """A component can rely on what it was given."""
    assert isinstance(load_settings(), BaseModel)
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1
