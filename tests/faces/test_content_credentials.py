"""Content Credentials, signed by the operator's certificate and checked by C2PA's own reader."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from certificates import Certificate, make_certificate
from marks import source_of
from numpy.typing import NDArray
from structlog.testing import capture_logs

from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import Settings, load_settings
from nigaoe_faces.content_credentials import load_credentials
from nigaoe_faces.images import read_photo
from nigaoe_faces.result_encoder import COMPOSITE, ResultEncoder

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A signer's chain and key."""
    return make_certificate(tmp_path_factory.mktemp("signer"))


def settings_of(certificate: Certificate, **more: Any) -> Settings:
    return Settings(c2pa_certificate=certificate.chain, c2pa_key=certificate.key, **more)


def checked(data: bytes, media_type: str, root: str) -> tuple[str, dict[str, Any]]:
    """What somebody who trusts the root finds: the verdict, and the manifest."""
    trust = {"trust": {"trust_anchors": root}, "verify": {"verify_trust": True}}
    with c2pa.Context(c2pa.Settings.from_dict(trust)) as context:
        report = json.loads(c2pa.Reader(media_type, BytesIO(data), context=context).json())
    return report["validation_state"], report["manifests"][report["active_manifest"]]


def test_a_signed_result_is_trusted_and_says_how_it_was_made(quarters: Picture, certificate: Certificate) -> None:
    """PNG, WebP and films are signed; the manifest holds no picture, and the mark for other programs stays."""
    results = ResultEncoder.from_settings(settings_of(certificate))
    files = {
        "image/png": (results.png(quarters, COMPOSITE), COMPOSITE),
        "image/webp": (results.webp(quarters, 90), "trainedAlgorithmicMedia"),
    }
    for media_type, (data, source) in files.items():
        verdict, manifest = checked(data, media_type, certificate.root)
        assert verdict == "Trusted", media_type
        (actions,) = [part["data"] for part in manifest["assertions"] if part["label"].startswith("c2pa.actions")]
        (action,) = actions["actions"]
        assert action["action"] == "c2pa.created"
        assert action["digitalSourceType"].endswith(f"/{source}")
        assert manifest["claim_generator_info"][0]["name"] == "Nigaoe"
        assert manifest["signature_info"]["common_name"] == "Claim signer"
        assert "thumbnail" not in manifest
        assert source_of(data) == source
    assert np.array_equal(read_photo(files["image/png"][0]), quarters)
    film = results.film([quarters[:32, :32]], quarters[:32, :32], quarters[:48, :48])
    assert checked(film, "image/webp", certificate.root)[0] == "Trusted"


def test_a_changed_picture_is_found_out(quarters: Picture, certificate: Certificate) -> None:
    """One bit of the pixels is enough."""
    data = bytearray(ResultEncoder.from_settings(settings_of(certificate)).png(quarters))
    data[-30] ^= 1
    assert checked(bytes(data), "image/png", certificate.root)[0] == "Invalid"


def test_a_timestamp_service_that_is_away_loses_no_portrait(quarters: Picture, certificate: Certificate) -> None:
    """The result goes out marked and unsigned, and the log says so."""
    results = ResultEncoder.from_settings(settings_of(certificate, c2pa_timestamp_url="http://127.0.0.1:9/time"))
    with capture_logs() as lines:
        data = results.png(quarters)
    assert source_of(data) == "trainedAlgorithmicMedia"
    with pytest.raises(c2pa.C2paError):
        c2pa.Reader("image/png", BytesIO(data))
    assert [line["event"] for line in lines] == ["result.not_signed"]


def test_without_a_certificate_nothing_is_signed() -> None:
    """The usual case costs nothing."""
    assert load_credentials(Settings()) is None


def test_a_certificate_without_its_key_is_no_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Half a signature is refused at the start."""
    monkeypatch.setenv("NIGAOE_C2PA_CERTIFICATE", str(tmp_path / "chain.pem"))
    with pytest.raises(InvalidSettings, match="belong together"):
        load_settings()


def test_what_cannot_sign_is_told_at_the_start(certificate: Certificate, tmp_path: Path) -> None:
    """Another key, a file that is not there, a text that is no key, a certificate without its authority."""
    (tmp_path / "other").mkdir()
    (tmp_path / "text.pem").write_text("no key")
    other = make_certificate(tmp_path / "other", "Somebody else")
    for chain, key in (
        (certificate.chain, other.key),
        (tmp_path / "none.pem", certificate.key),
        (certificate.chain, tmp_path / "text.pem"),
        (tmp_path / "text.pem", certificate.key),
    ):
        with pytest.raises(InvalidSettings):
            load_credentials(Settings(c2pa_certificate=chain, c2pa_key=key))
