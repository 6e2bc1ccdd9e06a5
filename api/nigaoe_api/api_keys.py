"""API keys: who may call, kept as hashes in one JSON file that ``nigaoe keys`` edits and running servers read again.

A key reads ``ngk_ID_SECRET``. The secret has 256 random bits, so one SHA-256 is a safe hash: there is nothing to guess.
The id is public; it names the key in lists and is how a key is found without comparing it to all of them.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nigaoe_core.atomic_write import atomic_write
from nigaoe_core.errors import InvalidSettings, UsageError

PREFIX: Final = "ngk"
TENANT_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Tenant = Annotated[str, Field(pattern=TENANT_PATTERN)]


class ApiKey(BaseModel):
    """One key as it is stored. Its limits replace those of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str = Field(min_length=1, max_length=100, description="Whom it was given to, for people.")
    tenant: Tenant = Field(description="Whose jobs it submits and sees; several keys may share a tenant.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: float
    revoked_at: float | None = None
    rate_limit: str | None = None
    convert_rate_limit: str | None = None
    max_active_jobs: int | None = Field(None, ge=1)


class KeyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()


class KeyRing:
    """The keys of a file, read again whenever the file changes. Safe to share between threads.

    Args:
        path: The file; it need not exist, then nobody may call.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def find(self, text: str) -> ApiKey | None:
        """Return the valid, not revoked key that ``text`` is; None if there is none.

        Raises:
            InvalidSettings: The file is damaged; nobody gets in then.
        """
        parts = text.split("_", 2)
        if len(parts) != 3 or parts[0] != PREFIX:
            return None
        self._refresh()
        key = self._keys.get(parts[1])
        if key is None or key.revoked_at is not None:
            return None
        return key if hmac.compare_digest(key.sha256, _digest(text)) else None

    def _refresh(self) -> None:
        stamp = _stamp(self.path)
        if stamp != self._stamp:
            self._keys = {key.id: key for key in read_keys(self.path).keys}
            self._stamp = stamp


def read_keys(path: Path) -> KeyFile:
    """Read a file of keys; a missing one has none.

    Raises:
        InvalidSettings: It cannot be read or is damaged.
    """
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return KeyFile()
    except (OSError, ValidationError) as error:
        raise InvalidSettings(f"The file of API keys `{path}` cannot be read: restore it or make new keys.") from error


def create_key(path: Path, name: str, tenant: str, **limits: str | int | None) -> tuple[str, ApiKey]:
    """Add a new key; its text is returned this once and stored nowhere.

    Args:
        path: The file, made if needed.
        name: Whom it is for.
        tenant: Whose jobs it submits and sees.
        **limits: ``rate_limit``, ``convert_rate_limit``, ``max_active_jobs`` of this key.

    Raises:
        UsageError: The name, tenant or a limit cannot be used.
        InvalidSettings: The file is damaged.
    """
    key_id = secrets.token_hex(6)
    text = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    facts = {"id": key_id, "name": name, "tenant": tenant, "sha256": _digest(text), "created_at": time.time()}
    try:
        key = ApiKey.model_validate({**facts, **limits})
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        raise UsageError(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}") from None
    _edit(path, lambda keys: (*keys, key))
    return text, key


def revoke_key(path: Path, key_id: str) -> ApiKey:
    """Make a key useless from now on; revoking it again changes nothing.

    Raises:
        UsageError: There is no such key.
        InvalidSettings: The file is damaged.
    """
    edited = _edit(
        path,
        lambda keys: tuple(
            key.model_copy(update={"revoked_at": time.time()}) if key.id == key_id and key.revoked_at is None else key
            for key in keys
        ),
    )
    for key in edited:
        if key.id == key_id:
            return key
    raise UsageError(f"There is no API key with the id {key_id}; `nigaoe keys list` shows them.")


def _edit(path: Path, change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]]) -> tuple[ApiKey, ...]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        edited = KeyFile(keys=change(read_keys(path).keys))
        atomic_write(path, edited.model_dump_json(indent=2, exclude_none=True) + "\n", mode=0o600)
    return edited.keys


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
