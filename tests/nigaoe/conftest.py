"""Photos as people send them, made from the public-domain samples."""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feed_forward_styles import install_beside_the_bundled_pair
from PIL import Image

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def nigaoe(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Run:
    """Run the real command line in a process of its own, with a data folder of its own."""
    data = tmp_path_factory.mktemp("data")

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nigaoe", *map(str, arguments)],
            cwd=repository,
            env=os.environ | {"NIGAOE_DATA_DIR": str(data), "NIGAOE_TORCH_THREADS": "1"} | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

    return run


@pytest.fixture(scope="session")
def method_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights with a style of every method: the bundled `anime`, and random feed-forward networks."""
    return install_beside_the_bundled_pair(tmp_path_factory.mktemp("methods"))


@pytest.fixture(scope="session")
def reports() -> Callable[[subprocess.CompletedProcess[str]], dict[str, dict[str, Any]]]:
    """Read the JSON lines of a run, by the photo's file name."""

    def parse(result: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        return {Path(line["photo"]).name: line for line in lines}

    return parse


@pytest.fixture(scope="session")
def mixed_folder(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """Twenty files as they lie in a real folder: good, odd and bad photos, and what is no photo at all."""
    folder = tmp_path_factory.mktemp("mixed")
    sample = repository / "samples" / "astronaut.jpg"
    portrait = Image.open(sample).convert("RGB")
    face = portrait.crop((120, 10, 330, 220))
    portrait.save(folder / "good.jpg")
    portrait.save(folder / "good.png")
    portrait.save(folder / "good.webp")
    portrait.convert("L").save(folder / "scan.png")
    portrait.convert("CMYK").save(folder / "print.jpg")
    portrait.convert("P").save(folder / "palette.png")
    portrait.convert("RGBA").save(folder / "alpha.png")
    _turned(portrait, folder / "phone.jpg")
    _group(face, folder / "group.jpg")
    face.resize((60, 60)).save(folder / "tiny.png")
    _turned_away(portrait).save(folder / "profile.jpg")
    Image.new("RGB", (640, 480), (90, 140, 200)).save(folder / "sky.jpg")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    (folder / "text.jpg").write_text("This is no picture.")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "truncated.jpg").write_bytes(sample.read_bytes()[:20_000])
    _bomb(folder / "bomb.png")
    (folder / "drawing.svg.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "notes.txt").write_text("not named as a photo: left alone")
    (folder / "page.html").write_text("<p>left alone</p>")
    return folder


def _turned(portrait: Image.Image, path: Path) -> None:
    """A phone held sideways: pixels lie on their side, EXIF says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    portrait.rotate(90, expand=True).save(path, exif=exif)


def _group(face: Image.Image, path: Path) -> None:
    """Three people of different size."""
    canvas = Image.new("RGB", (900, 400), (120, 130, 120))
    for left, side in ((20, 210), (280, 330), (660, 170)):
        canvas.paste(face.resize((side, side)), (left, 40))
    canvas.save(path)


def _turned_away(portrait: Image.Image) -> Image.Image:
    """One half of the face squeezed, as in a head that turns to the side."""
    near, far = portrait.crop((224, 0, 400, 300)), portrait.crop((60, 0, 224, 300))
    narrow = far.width // 6
    head = Image.new("RGB", (narrow + near.width, 300))
    head.paste(far.resize((narrow, 300)), (0, 0))
    head.paste(near, (narrow, 0))
    return head


def _bomb(path: Path) -> None:
    """200 megapixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (20_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    pixels = zlib.compress(bytes(10_000 * (1 + 20_000 // 8)), 9)
    buffer = BytesIO(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    path.write_bytes(buffer.getvalue())


@pytest.fixture(scope="session")
def picture() -> Callable[[str | Path], np.ndarray]:
    """Open a written picture."""
    return lambda path: np.asarray(Image.open(path).convert("RGB"))
