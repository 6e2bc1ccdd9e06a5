"""How photos are cut for a style."""

from pathlib import Path

import pytest

from nigaoe_api.style_catalogue import StyleCatalogue, crop_resolution, read_framing
from nigaoe_core.errors import BrokenCheckpoint, UnknownStyle
from nigaoe_core.settings import Settings
from nigaoe_faces.align import DEMO


@pytest.mark.parametrize(
    ("resolution", "side"), [(64, 256), (32, 256), (128, 256), (256, 256), (512, 512), (1024, 1024)]
)
def test_a_crop_is_a_multiple_that_people_can_look_at(resolution: int, side: int) -> None:
    """Workers reduce it by the mean of whole blocks."""
    assert crop_resolution(resolution) == side


def test_the_framing_is_the_generators(weights: Path) -> None:
    """Read from its header, without torch."""
    framing = read_framing(weights / "g_ori.safetensors")
    assert framing.template == DEMO
    assert framing.resolution == 256


def test_an_unknown_or_damaged_style_says_so(tmp_path: Path, weights: Path) -> None:
    """Each with its error."""
    catalogue = StyleCatalogue(Settings(data_dir=tmp_path, weights_dir=weights, _env_file=None))  # type: ignore[call-arg]  # pydantic-settings' own argument.
    with pytest.raises(UnknownStyle):
        catalogue.framing("nonsense")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((weights / "g_ori.safetensors").read_bytes()[:100])
    with pytest.raises(BrokenCheckpoint):
        read_framing(damaged)
