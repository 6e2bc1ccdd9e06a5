"""Loaded by schemathesis: what it sends as a file is a portrait, so that it gets beyond the first refusal."""

from io import BytesIO
from pathlib import Path

import schemathesis
from hypothesis import strategies as st
from PIL import Image

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "astronaut.jpg"


def encoded(picture_format: str) -> bytes:
    buffer = BytesIO()
    with Image.open(SAMPLE) as image:
        image.resize((192, 192)).save(buffer, picture_format)
    return buffer.getvalue()


PORTRAITS = [encoded(picture_format) for picture_format in ("JPEG", "PNG", "WEBP")]

schemathesis.openapi.format("binary", st.sampled_from([*PORTRAITS, b"", b"no picture"]))
