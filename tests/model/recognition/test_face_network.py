"""The chips that face networks are given."""

import pytest
import torch

from nigaoe_faces.align import DEMO, FFHQ, AlignmentTemplate
from nigaoe_model.recognition.face_network import CENTRE, EYES_TO_MOUTH, chip_box, face_chips


@pytest.mark.parametrize("template", [DEMO, FFHQ])
def test_eyes_and_mouth_stand_where_the_networks_learned_them(template: AlignmentTemplate) -> None:
    """However tightly a generator's photos are framed."""
    left, top, width = chip_box(template)
    points = (template.points(1) - [left, top]) / width
    middle = (points[0] + points[1] + (points[3] + points[4]) / 2) / 3
    assert middle == pytest.approx(CENTRE, abs=1e-6)
    eyes_to_mouth = (points[3] + points[4]) / 2 - (points[0] + points[1]) / 2
    assert eyes_to_mouth[1] == pytest.approx(EYES_TO_MOUTH, abs=0.06)


def test_a_chip_shows_that_part_of_the_picture() -> None:
    """A dot at the nose arrives where the nose is in a chip; beyond the picture its edge goes on."""
    picture = torch.full((1, 3, 128, 128), -1.0)
    picture[:, :, 120:] = 1.0
    x, y = (DEMO.points(128)[2]).round().astype(int)
    picture[:, :, y - 1 : y + 2, x - 1 : x + 2] = 1.0
    chip = face_chips(picture, DEMO, 150)
    assert chip.shape == (1, 3, 150, 150)
    left, top, width = chip_box(DEMO)
    brightest = divmod(int(chip[0, 0, :110].argmax()), 150)
    assert brightest[1] == pytest.approx((x / 128 - left) / width * 150, abs=3)
    assert brightest[0] == pytest.approx((y / 128 - top) / width * 150, abs=3)
    assert (chip[0, 0, -4:] > 0.9).all()
