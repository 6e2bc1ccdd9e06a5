"""The cut that the page makes from the photo is the one that the generators are fed with."""

from typing import Any

import numpy as np
import pytest

from nigaoe_faces.align import DEMO, FFHQ, AlignmentTemplate, align_landmarks

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LANDMARKS = [[180.0, 210.0], [300.0, 190.0], [250.0, 280.0], [210.0, 350.0], [310.0, 330.0]]
FIT = """async ([landmarks, alignment]) => {
    const {fitToTemplate} = await import("/js/alignment.js");
    return fitToTemplate(landmarks, alignment);
}"""


@pytest.mark.parametrize("template", [FFHQ, DEMO])
def test_the_page_fits_faces_as_the_server_does(visitor: Any, template: AlignmentTemplate) -> None:
    """The same similarity transform, to the last digits."""
    fit = visitor.page.evaluate(FIT, [LANDMARKS, template.model_dump(mode="json")])
    page = np.array([[fit["cos"], -fit["sin"], fit["x"]], [fit["sin"], fit["cos"], fit["y"]]])
    server = align_landmarks(np.array(LANDMARKS), template, 1).matrix
    np.testing.assert_allclose(page, server, atol=1e-9)
