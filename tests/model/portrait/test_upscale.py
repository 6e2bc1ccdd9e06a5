"""The ways in which drawings are enlarged: all of one size and range, each by its name."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_core.manifest import UpscalerName
from nigaoe_faces.sheet import resized
from nigaoe_model.pixels import to_planes, to_rgb
from nigaoe_model.portrait.super_resolution import CompactUpscaler
from nigaoe_model.portrait.upscale import COMPACT_FILE, LARGE_FILE, WAYS, Upscaler

SHIPPED = sorted(name for name, way in WAYS.items() if way.file != LARGE_FILE)


@pytest.fixture(scope="module")
def drawing(repository: Path) -> torch.Tensor:
    """A face of 48 pixels. # [1, 3, 48, 48]."""
    photo = Image.open(repository / "samples" / "astronaut.jpg").convert("RGB").crop((120, 10, 330, 220))
    return to_planes(resized(np.asarray(photo), 48))[None]


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler()


def test_every_name_that_a_manifest_may_use_has_a_way() -> None:
    """The core, which knows no networks, names them; this file has them."""
    assert set(WAYS) == set(get_args(UpscalerName))


@pytest.mark.parametrize("name", SHIPPED)
def test_each_way_enlarges_four_times(upscaler: Upscaler, drawing: torch.Tensor, name: UpscalerName) -> None:
    """The picture stays the same, only larger: reduced again it is nearly the drawing."""
    large = upscaler(drawing, name)
    assert large.shape == (1, 3, 192, 192)
    assert large.abs().max() <= 1
    again = to_planes(resized(to_rgb(large[0]), 48))[None]
    assert (again - drawing).abs().mean() < 0.06


@pytest.mark.parametrize("name", SHIPPED)
def test_neighbours_change_nothing(upscaler: Upscaler, drawing: torch.Tensor, name: UpscalerName) -> None:
    """A drawing is enlarged alone as among others."""
    among_others = upscaler(torch.cat([drawing.flip(3), drawing, -drawing]), name)[1:2]
    torch.testing.assert_close(among_others, upscaler(drawing, name), atol=1e-5, rtol=0)


def test_lanczos_is_pillows(upscaler: Upscaler, drawing: torch.Tensor) -> None:
    """Beside Pillow's own answer in floating point, kept in range."""
    channels = [Image.fromarray(channel.numpy()) for channel in drawing[0]]
    theirs = np.stack([np.asarray(channel.resize((192, 192), Image.Resampling.LANCZOS)) for channel in channels])
    ours = upscaler(drawing, "lanczos")[0]
    torch.testing.assert_close(ours, torch.from_numpy(theirs).clamp(-1, 1), atol=1e-5, rtol=0)


def test_softer_ways_lie_between_lanczos_and_the_network(upscaler: Upscaler, drawing: torch.Tensor) -> None:
    """A share of the network's picture is nearer to plain Lanczos than the network's own is, and is not Lanczos."""
    plain, soft, whole = (
        upscaler(drawing, name) for name in ("lanczos", "realesr-animevideov3-soft", "realesr-animevideov3")
    )
    assert 0 < (soft - plain).square().mean() < (whole - plain).square().mean()
    halved = upscaler(drawing, "realesr-animevideov3-2x")
    assert _sharpness(halved) < _sharpness(whole)


def test_weights_are_looked_for_beside_the_style_first(tmp_path: Path, drawing: torch.Tensor) -> None:
    """A folder of one's own may bring the large network; where it is missing the sentence says where to put it."""
    upscaler = Upscaler(folders=[tmp_path])
    with pytest.raises(BrokenCheckpoint, match=str(tmp_path / LARGE_FILE)):
        upscaler.prepare("realesrgan-x4plus-anime")
    (tmp_path / COMPACT_FILE).write_bytes(b"no weights")
    with pytest.raises(BrokenCheckpoint, match=str(tmp_path / COMPACT_FILE)):
        upscaler(drawing, "realesr-animevideov3")


def test_networks_are_read_only_when_they_are_needed(
    upscaler: Upscaler, drawing: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain Lanczos works without any; one that was read serves all ways that share it."""
    upscaler.prepare("realesr-animevideov3")
    monkeypatch.setattr(CompactUpscaler, "__init__", lambda *_: pytest.fail("read again"))
    upscaler.prepare("realesr-animevideov3-soft")
    Upscaler()(drawing, "lanczos")


def _sharpness(picture: torch.Tensor) -> float:
    return float(picture.diff(dim=3).square().mean())
