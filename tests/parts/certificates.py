"""A certificate for claim signing as C2PA wants it, made here, with the authority above it."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip


@dataclass(frozen=True)
class Certificate:
    """Files of a signer, and the root that those who check must trust."""

    chain: Path
    key: Path
    root: str


def make_certificate(folder: Path, name: str = "Claim signer") -> Certificate:
    """Write ``chain.pem`` and ``key.pem`` into ``folder``."""
    authority, signer = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("Root of the tests", authority, "Root of the tests", authority, is_authority=True)
    own = _certificate(name, signer, "Root of the tests", authority, is_authority=False)
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text(_pem(own) + _pem(root))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(signer.private_bytes(serialization.Encoding.PEM, *private))
    return Certificate(chain, key, _pem(root))


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, above: str, by: ec.EllipticCurvePrivateKey, *, is_authority: bool
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    uses = {"key_cert_sign", "crl_sign"} if is_authority else {"digital_signature"}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(above))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{use: use in uses for use in _USES}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(by, hashes.SHA256())


def _name(common: str) -> x509.Name:
    parts = ((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Nigaoe's tests"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
