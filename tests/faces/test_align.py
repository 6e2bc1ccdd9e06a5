"""A face goes to its place in the crop, and a picture goes back to the face's place."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from nigaoe_core.errors import FaceError
from nigaoe_faces.align import (
    DEMO,
    FFHQ,
    Alignment,
    AlignmentTemplate,
    align_face,
    align_landmarks,
    crop_aligned,
    fit_similarity,
    paste_back,
    square_box_alignment,
)

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]

coordinate = st.floats(-500, 4500, allow_subnormal=False)
degrees_of_roll = st.floats(-180, 180, allow_subnormal=False)
five_points = st.lists(st.tuples(coordinate, coordinate), min_size=5, max_size=5).map(np.array)
templates = st.sampled_from([FFHQ, DEMO])
resolutions = st.sampled_from([16, 64, 256, 1024])

# Where MTCNN sees the astronaut's eyes, nose and mouth.
ASTRONAUT = np.array([[204.57, 101.19], [246.36, 103.15], [224.25, 128.38], [201.3, 138.73], [244.88, 141.34]])


def similarity(scale: float, degrees: float, shift: tuple[float, float]) -> NDArray[np.float64]:
    angle = np.radians(degrees)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[a, -b, shift[0]], [b, a, shift[1]]])


def moved(points: Points, matrix: NDArray[np.float64]) -> Points:
    return points @ matrix[:, :2].T + matrix[:, 2]


@st.composite
def landmarks(draw: st.DrawFn) -> Points:
    """Five points as a detector finds them: the template somewhere in a photo, each point a little off."""
    off = draw(st.lists(st.integers(-80, 80), min_size=10, max_size=10))
    face = FFHQ.points(1) + np.reshape(off, (5, 2)) / 1000
    return moved(
        face, similarity(draw(st.integers(20, 4000)), draw(degrees_of_roll), draw(st.tuples(coordinate, coordinate)))
    )


def difference(left: Picture, right: Picture) -> float:
    return float(np.abs(left.astype(float) - right).mean())


# The template


def test_templates_survive_a_checkpoints_metadata() -> None:
    """They are stored as JSON beside the weights."""
    assert AlignmentTemplate.model_validate_json(DEMO.model_dump_json()) == DEMO
    assert json.loads(FFHQ.model_dump_json())["zoom"] == 1.0


def test_the_demo_framing_is_closer_and_lower() -> None:
    """p -> (p - 0.5) * 1.2 + 0.5 + (0, 0.04), as DEMO says."""
    x, y = FFHQ.points(1)[2]
    assert DEMO.points(1)[2] == pytest.approx([(x - 0.5) * 1.2 + 0.5, (y - 0.5) * 1.2 + 0.54])


def test_points_grow_with_the_resolution() -> None:
    """The template lives in the unit square."""
    assert FFHQ.points(256) == pytest.approx(FFHQ.points(1) * 256)


@pytest.mark.parametrize(
    "change",
    [{"zoom": 0.0}, {"zoom": float("nan")}, {"landmarks": ((0.1, 0.2),) * 4}, {"name": ""}, {"shift": 1}],
)
def test_a_template_without_meaning_is_refused(change: dict[str, object]) -> None:
    """Metadata come from files that anybody made."""
    with pytest.raises(ValidationError):
        AlignmentTemplate.model_validate(FFHQ.model_dump() | change)


def test_templates_cannot_be_changed() -> None:
    """All users of a checkpoint share one."""
    with pytest.raises(ValidationError):
        FFHQ.zoom = 2.0  # type: ignore[misc]


def test_importing_the_template_does_not_load_torch() -> None:
    """Checkpoint tools read templates without a second of imports."""
    code = "import nigaoe_faces.align, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The transform


@given(landmarks(), templates, resolutions)
def test_there_and_back_is_exact(points: Points, template: AlignmentTemplate, resolution: int) -> None:
    """The inverse returns every landmark within a millionth of a pixel."""
    alignment = align_landmarks(points, template, resolution)
    inverse = alignment.inverse()
    assert moved(alignment.apply(points), inverse) == pytest.approx(points, abs=1e-6)


@given(
    templates,
    resolutions,
    st.floats(0.05, 20),
    degrees_of_roll,
    st.tuples(coordinate, coordinate),
)
def test_a_perfect_face_lands_on_the_template(
    template: AlignmentTemplate, resolution: int, scale: float, degrees: float, shift: tuple[float, float]
) -> None:
    """However large, turned and far away it was photographed."""
    photographed = moved(template.points(100), similarity(scale, degrees, shift))
    alignment = align_landmarks(photographed, template, resolution)
    assert alignment.apply(photographed) == pytest.approx(template.points(resolution), abs=1e-6)


@given(
    landmarks(),
    templates,
    st.floats(0.1, 10),
    degrees_of_roll,
    st.tuples(coordinate, coordinate),
)
def test_the_crop_does_not_depend_on_how_the_camera_was_held(
    points: Points, template: AlignmentTemplate, scale: float, degrees: float, shift: tuple[float, float]
) -> None:
    """Scaling, turning or moving a photo moves its landmarks, and each point of it lands where it did before."""
    motion = similarity(scale, degrees, shift)
    before = align_landmarks(points, template, 256)
    after = align_landmarks(moved(points, motion), template, 256)
    probes = np.array([[0.0, 0.0], [100.0, 50.0], [33.0, 400.0]])
    assert after.apply(moved(probes, motion)) == pytest.approx(before.apply(probes), rel=1e-6, abs=1e-5)


@given(five_points, five_points)
def test_no_other_similarity_fits_better(source: Points, target: Points) -> None:
    """Least squares: any small change of scale, angle or place makes the fit worse; mirroring is not allowed."""
    assume(float(np.ptp(source, axis=0).max()) > 20)
    matrix = fit_similarity(source, target)
    best = float(((moved(source, matrix) - target) ** 2).sum())
    assert np.linalg.det(matrix[:, :2]) >= 0
    assert matrix[0, 0] == pytest.approx(matrix[1, 1])
    for change in (
        np.array([[1, 0, 0], [0, 1, 0]]),
        np.array([[0, -1, 0], [1, 0, 0]]),
        np.array([[0, 0, 1], [0, 0, 0]]),
    ):
        for step in (1e-3, -1e-3):
            assert float(((moved(source, matrix + step * change) - target) ** 2).sum()) >= best - 1e-6 * (1 + best)


@given(landmarks(), templates, resolutions, resolutions)
def test_another_resolution_is_the_same_framing(
    points: Points, template: AlignmentTemplate, first: int, second: int
) -> None:
    """The drawn face may be four times as large as the crop."""
    wanted = align_landmarks(points, template, second)
    assert align_landmarks(points, template, first).for_resolution(second).matrix == pytest.approx(wanted.matrix)


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.full((5, 2), np.nan), np.array([[np.inf, 0]] * 5)])
def test_landmarks_without_a_face_are_refused(points: Points) -> None:
    """A detector's slip ends in a sentence, not in a division by zero."""
    with pytest.raises(FaceError, match="one spot"):
        align_landmarks(points, FFHQ, 64)


def test_an_alignment_cannot_be_changed_from_outside() -> None:
    """It owns its numbers."""
    matrix = similarity(2.0, 10.0, (3.0, 4.0))
    alignment = Alignment(matrix, 64)
    matrix[0, 0] = 99.0
    assert alignment.scale == pytest.approx(2.0)
    with pytest.raises(ValueError, match="read-only"):
        alignment.matrix[0, 0] = 1.0


@given(landmarks())
def test_an_alignment_survives_json_to_the_last_bit(points: Points) -> None:
    """The service stores it with the job, to paste the result back later."""
    alignment = align_landmarks(points, DEMO, 64)
    again = Alignment.from_json(json.loads(json.dumps(alignment.to_json())))
    assert np.array_equal(again.matrix, alignment.matrix)
    assert again.resolution == 64


# Framed pictures


def test_the_demo_square_of_a_framed_picture() -> None:
    """A square of side 1/1.2 about (0.5, 0.4667)."""
    left, top, right, bottom = DEMO.framed_box(128)
    assert right - left == pytest.approx(128 / 1.2)
    assert bottom - top == pytest.approx(128 / 1.2)
    assert [(left + right) / 256, (top + bottom) / 256] == pytest.approx([0.5, 0.46667], abs=1e-4)


def test_framed_pictures_and_photos_agree() -> None:
    """Cutting DEMO's square out of an FFHQ picture is aligning its landmarks to DEMO."""
    box = square_box_alignment(DEMO.framed_box(128), 64)
    assert align_landmarks(FFHQ.points(128), DEMO, 64).matrix == pytest.approx(box.matrix, abs=1e-9)


@pytest.mark.parametrize("box", [(0, 0, 10, 11), (5, 5, 5, 5), (10, 0, 0, 10)])
def test_a_box_must_be_a_square(box: tuple[float, float, float, float]) -> None:
    """Anything else would squeeze the face."""
    with pytest.raises(ValueError, match="square"):
        square_box_alignment(box, 64)


# The crop


@pytest.mark.parametrize("resolution", [64, 256])
def test_a_turned_and_enlarged_photo_gives_the_same_crop(astronaut: Picture, resolution: int) -> None:
    """The pixels, not only the numbers."""
    crop, _ = align_face(astronaut, ASTRONAUT, DEMO, resolution)
    turned = np.ascontiguousarray(np.rot90(astronaut))
    turned_points = np.column_stack([ASTRONAUT[:, 1], 512 - ASTRONAUT[:, 0]])
    enlarged = np.array(Image.fromarray(astronaut).resize((1536, 1536), Image.Resampling.BICUBIC))
    assert difference(align_face(turned, turned_points, DEMO, resolution)[0], crop) < 1
    assert difference(align_face(enlarged, ASTRONAUT * 3, DEMO, resolution)[0], crop) < 3


def test_the_photo_is_left_alone(astronaut: Picture) -> None:
    """Crops are copies, of exactly the wanted size and type."""
    crop, alignment = align_face(astronaut, ASTRONAUT, FFHQ, 100)
    assert crop.shape == (100, 100, 3)
    assert crop.dtype == np.uint8
    assert alignment.resolution == 100
    assert not np.shares_memory(crop, astronaut)


def test_a_crop_beside_the_photo_is_refused(astronaut: Picture) -> None:
    """There is nothing to see."""
    with pytest.raises(FaceError, match="outside the photo"):
        crop_aligned(astronaut, square_box_alignment((600, 600, 700, 700), 64))


# And back


@pytest.mark.parametrize("degrees", [0, 33, 180])
def test_pasting_the_untouched_crop_back_changes_almost_nothing(astronaut: Picture, degrees: float) -> None:
    """There and back costs a little sharpness, and no displacement."""
    alignment = Alignment(similarity(2.0, degrees, (0, 0)), 400)
    centre = alignment.apply(np.array([224.0, 150.0]))
    alignment = Alignment(alignment.matrix + np.array([[0, 0, 200 - centre[0]], [0, 0, 200 - centre[1]]]), 400)
    again = paste_back(astronaut, crop_aligned(astronaut, alignment), alignment)
    shifted = np.roll(astronaut, 1, axis=1)
    assert difference(again, astronaut) < 0.4
    assert difference(again, astronaut) < difference(shifted, astronaut) / 10


@pytest.mark.parametrize("side", [32, 128, 800])
def test_a_drawing_of_any_size_lands_on_the_face(side: int) -> None:
    """The drawing's middle stands where the crop's middle stood, whatever its resolution."""
    photo = np.zeros((300, 400, 3), np.uint8)
    alignment = square_box_alignment((150, 100, 250, 200), 64)
    pasted = paste_back(photo, np.full((side, side, 3), 200, np.uint8), alignment, feather=0.1)
    rows, columns = np.nonzero(pasted[..., 0] > 100)
    assert [columns.min(), columns.max(), rows.min(), rows.max()] == pytest.approx([154, 245, 104, 195], abs=2)
    assert (pasted[140:160, 190:210] == 200).all()


def test_outside_the_picture_no_pixel_changes(astronaut: Picture) -> None:
    """Only the face is drawn."""
    alignment = square_box_alignment((150.3, 50.7, 300.3, 200.7), 64)
    pasted = paste_back(astronaut, np.zeros((64, 64, 3), np.uint8), alignment, feather=0.0)
    untouched = np.ones((512, 512), bool)
    untouched[50:202, 150:302] = False
    assert np.array_equal(pasted[untouched], astronaut[untouched])
    assert (pasted[53:198, 153:298] == 0).all()


def test_the_edge_is_feathered() -> None:
    """From the photo to the picture without a step, inside the picture's square."""
    pasted = paste_back(
        np.zeros((200, 200, 3), np.uint8),
        np.full((64, 64, 3), 255, np.uint8),
        square_box_alignment((50, 50, 150, 150), 64),
    )
    profile = pasted[100, :, 0].astype(int)
    assert profile[49] == 0
    assert profile[100] == 255
    assert np.abs(np.diff(profile)).max() < 50
    assert (np.diff(profile[:100]) >= 0).all()


def test_a_face_at_the_edge_of_the_photo_is_pasted_as_far_as_it_reaches(astronaut: Picture) -> None:
    """Half of the crop lies outside."""
    alignment = square_box_alignment((-50, -50, 50, 50), 64)
    pasted = paste_back(astronaut, np.zeros((64, 64, 3), np.uint8), alignment)
    assert (pasted[:30, :30] == 0).all()
    assert np.array_equal(pasted[51:], astronaut[51:])


def test_a_picture_beside_the_photo_changes_nothing(astronaut: Picture) -> None:
    """Another photo's alignment must not crash."""
    alignment = square_box_alignment((600, 600, 700, 700), 64)
    assert np.array_equal(paste_back(astronaut, np.zeros((64, 64, 3), np.uint8), alignment), astronaut)


@pytest.mark.parametrize(("side", "feather"), [((64, 64), 0.6), ((64, 64), -0.1), ((64, 32), 0.1)])
def test_an_impossible_paste_is_refused(astronaut: Picture, side: tuple[int, int], feather: float) -> None:
    """The feathers of both sides would meet, or the face be squeezed."""
    with pytest.raises(ValueError, match="feather"):
        paste_back(astronaut, np.zeros((*side, 3), np.uint8), square_box_alignment((0, 0, 9, 9), 64), feather)
