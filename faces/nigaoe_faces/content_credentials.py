"""Content Credentials (C2PA): a signed manifest in a picture says who made it and how, and breaks when it is changed.

The manifest holds the software, the digital source type and the certificate; nothing of the photo, no thumbnail, no
place. https://spec.c2pa.org
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog

from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import Settings
from nigaoe_faces.encoding import DigitalSource, encode_png
from nigaoe_faces.formats import sniff_format

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# A thumbnail would be a second copy of the face, and the files larger by half.
_BUILDER_SETTINGS: Final[dict[str, Any]] = {"builder": {"thumbnail": {"enabled": False}}}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ContentCredentials:
    """Signs files. May be used by several threads: every call has a signer and a builder of its own.

    Attributes:
        algorithm: C2PA's name of the signature algorithm, such as ``es256``.
        chain: The signing certificate and those above it, as PEM, the signing one first.
        key: The certificate's private key, as PEM.
        timestamp_url: RFC 3161 service that says when a file was signed; None: nobody does.
    """

    algorithm: str
    chain: str
    key: str
    timestamp_url: str | None = None

    def sign(self, data: bytes, source: DigitalSource) -> bytes:
        """Return the file with a signed manifest. A file that cannot be signed now is handed out as it is, and logged.

        Args:
            data: PNG, WebP or JPEG.
            source: How it came to be.
        """
        import c2pa

        try:
            return self._sign(data, source, self.timestamp_url)
        except c2pa.C2paError as error:
            # The timestamp service may be away: a person's portrait is not lost for it, and still carries its mark.
            _log.error("result.not_signed", reason=str(error))
            return data

    def check(self) -> None:
        """Sign a small picture, without asking for the time.

        Raises:
            InvalidSettings: Certificate and key cannot sign.
        """
        import c2pa

        try:
            picture = encode_png(np.zeros((8, 8, 3), np.uint8))
            signed = self._sign(picture, DigitalSource.GENERATED, None)
            state = json.loads(c2pa.Reader("image/png", BytesIO(signed)).json())["validation_state"]
        except c2pa.C2paError as error:
            raise InvalidSettings(
                f"NIGAOE_C2PA_CERTIFICATE and NIGAOE_C2PA_KEY cannot sign Content Credentials ({error}): name a PEM "
                "chain for C2PA claim signing, its own certificate first, and the private key that belongs to it."
            ) from error
        if state == "Invalid":
            raise InvalidSettings(
                "What NIGAOE_C2PA_CERTIFICATE and NIGAOE_C2PA_KEY sign is not valid: does the key belong to the "
                "certificate, and is the certificate in force?"
            )

    def _sign(self, data: bytes, source: DigitalSource, timestamp_url: str | None) -> bytes:
        import c2pa

        kind = sniff_format(data)
        assert kind is not None  # noqa: S101 - it was written by our own encoders
        info = c2pa.C2paSignerInfo(
            alg=self.algorithm, sign_cert=self.chain.encode(), private_key=self.key.encode(), ta_url=timestamp_url
        )
        target = BytesIO()
        with (
            c2pa.Signer.from_info(info) as signer,
            c2pa.Context(c2pa.Settings.from_dict(_BUILDER_SETTINGS)) as context,
            c2pa.Builder(json.dumps(_manifest(source)), context) as builder,
        ):
            builder.sign(signer, kind.media_types[0], BytesIO(data), target)
        return target.getvalue()


def load_credentials(settings: Settings) -> ContentCredentials | None:
    """Read the operator's certificate and key; None where none is set.

    Raises:
        InvalidSettings: They cannot be read or cannot sign, or the extra ``c2pa`` is not installed.
    """
    if settings.c2pa_certificate is None or settings.c2pa_key is None:
        return None
    try:
        import c2pa  # noqa: F401 - only whether it is there
    except ImportError:
        raise InvalidSettings("NIGAOE_C2PA_CERTIFICATE needs the extra `c2pa`: `pip install 'nigaoe[c2pa]'`.") from None
    chain, key = _read(settings.c2pa_certificate), _read(settings.c2pa_key)
    credentials = ContentCredentials(_algorithm(key), chain, key, settings.c2pa_timestamp_url)
    credentials.check()
    return credentials


def _manifest(source: DigitalSource) -> dict[str, Any]:
    software = {"name": "Nigaoe", "version": version("nigaoe")}
    made = {"action": "c2pa.created", "digitalSourceType": source.address, "softwareAgent": software}
    return {
        "claim_generator_info": [software],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}],
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"`{path}` cannot be read as PEM, which Content Credentials are signed with.") from error


def _algorithm(key: str) -> str:
    """Tell the algorithm from the key, so that nobody has to name it."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        loaded: PrivateKeyTypes = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidSettings("NIGAOE_C2PA_KEY is no private key in PEM without a password.") from error
    if isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.key_size in (256, 384, 521):
        return {256: "es256", 384: "es384", 521: "es512"}[loaded.key_size]
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(loaded, rsa.RSAPrivateKey):
        return "ps256"
    raise InvalidSettings("NIGAOE_C2PA_KEY is of a kind that C2PA does not know: use EC, Ed25519 or RSA.")
