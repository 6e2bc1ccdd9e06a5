"""The face region of an alignment template."""

import pytest
import torch

from nigaoe_faces.align import DEMO, FFHQ, AlignmentTemplate
from nigaoe_model.inversion.region import face_region


@pytest.mark.parametrize("template", [FFHQ, DEMO])
def test_features_weigh_whole_and_corners_little(template: AlignmentTemplate) -> None:
    """Eyes, nose and mouth have the full weight, the picture's upper corners the background's."""
    region = face_region(template, 64, background=0.2)
    assert region.shape == (1, 64, 64)
    for x, y in template.points(64):
        assert region[0, int(y), int(x)] == 1
    torch.testing.assert_close(region[0, 0, 0], torch.tensor(0.2), atol=0.15, rtol=0)
    assert region.min() >= 0.2
    assert region.max() == 1


def test_hair_counts_and_the_edge_is_soft() -> None:
    """Above the forehead the weight is still high, and no neighbouring pixels differ by a jump."""
    region = face_region(FFHQ, 128)[0]
    assert region[12, 64] > 0.8
    assert max(region.diff(dim=axis).abs().max() for axis in (0, 1)) < 0.08


def test_both_sides_weigh_the_same() -> None:
    """Faces are symmetric, so is the mask, within the template's own asymmetry."""
    region = face_region(FFHQ, 64)
    torch.testing.assert_close(region, region.flip(2), atol=0.03, rtol=0)


def test_the_mask_scales_with_the_crop() -> None:
    """A larger crop has the same mask, drawn finer."""
    fine = face_region(DEMO, 256)[None]
    coarse = torch.nn.functional.avg_pool2d(fine, 4)[0]
    torch.testing.assert_close(coarse, face_region(DEMO, 64), atol=0.01, rtol=0)
