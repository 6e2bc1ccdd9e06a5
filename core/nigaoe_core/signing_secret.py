"""The secret of signed links and webhooks: the operator's, or one made once and kept in the data folder."""

import secrets
from pathlib import Path
from typing import Final

from nigaoe_core.atomic_write import atomic_write
from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import Settings

FILE_NAME: Final = "signing_secret"
_BYTES: Final = 32


def load_signing_secret(settings: Settings) -> bytes:
    """Read the secret, making it first where there is none. Processes that start at once agree on one.

    Raises:
        InvalidSettings: The data folder cannot be written, or the file is damaged.
    """
    if settings.signing_secret is not None:
        return settings.signing_secret.get_secret_value().encode()
    path = settings.data_dir / FILE_NAME
    try:
        if not path.exists():
            _make(path)
        secret = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise InvalidSettings(
            f"The secret {path} can be neither read nor made: make its folder writable, or set NIGAOE_SIGNING_SECRET."
        ) from error
    if len(secret) < _BYTES:
        raise InvalidSettings(f"The secret in {path} is too short: remove the file, and a new one is made.")
    return secret


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
    atomic_write(draft, secrets.token_hex(_BYTES) + "\n", mode=0o600)
    try:
        # A link, unlike a rename, fails if somebody was faster: the first secret stays.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
