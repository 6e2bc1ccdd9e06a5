"""Five points say roughly which way a head looks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nigaoe_faces.align import FFHQ
from nigaoe_faces.pose import _MODEL, PROFILE_YAW, Pose, estimate_pose


def seen(yaw: float, pitch: float, roll: float, scale: float = 80.0) -> NDArray[np.float64]:
    """Photograph the model's five points from far away."""
    a, b, c = np.radians([yaw, pitch, roll])
    turn_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    points = _MODEL @ (turn_z @ turn_y @ turn_x).T
    return points[:, :2] * scale + [300.0, 200.0]


@given(st.integers(-75, 75), st.integers(-60, 60), st.integers(-170, 170), st.integers(1, 4000))
def test_a_turned_model_is_recognised(yaw: int, pitch: int, roll: int, scale: int) -> None:
    """Any direction, any size, anywhere in the photo."""
    pose = estimate_pose(seen(yaw, pitch, roll, scale))
    assert [pose.yaw, pose.pitch, pose.roll] == pytest.approx([yaw, pitch, roll], abs=1e-6)


def test_the_template_looks_straight_ahead() -> None:
    """FFHQ's average face does."""
    pose = estimate_pose(FFHQ.points(256))
    assert max(abs(pose.yaw), abs(pose.pitch), abs(pose.roll)) < 5


def test_signs_are_those_of_the_picture() -> None:
    """A nose to the right is a positive yaw, a nose higher up a positive pitch, a falling eye line a positive roll."""
    points = FFHQ.points(256)
    right, up = points.copy(), points.copy()
    right[2, 0] += 12
    up[2, 1] -= 12
    tilted = points @ np.array([[np.cos(0.2), np.sin(0.2)], [-np.sin(0.2), np.cos(0.2)]])
    assert estimate_pose(right).yaw > 10
    assert estimate_pose(up).pitch > estimate_pose(points).pitch + 10
    assert estimate_pose(tilted).roll == pytest.approx(np.degrees(0.2), abs=1)


@given(st.integers(-75, 75))
def test_a_mirrored_face_looks_the_other_way(yaw: int) -> None:
    """Neither side is preferred."""
    points = seen(yaw, 10, 0)
    mirrored = points[[1, 0, 2, 4, 3]] * [-1, 1]
    assert estimate_pose(mirrored).yaw == pytest.approx(-estimate_pose(points).yaw, abs=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_profile_is_beyond_a_stated_angle(sign: int) -> None:
    """Callers warn from this angle on."""
    assert Pose(sign * (PROFILE_YAW + 1), 0, 0).is_profile
    assert not Pose(sign * (PROFILE_YAW - 1), 0, 0).is_profile


def test_landmarks_on_one_line_still_have_a_pose() -> None:
    """The detector may err; the estimate must not crash or be no number."""
    pose = estimate_pose(np.array([[10.0, 10], [20, 10], [30, 10], [40, 10], [50, 10]]))
    assert np.isfinite([pose.yaw, pose.pitch, pose.roll]).all()


def test_a_pose_is_plain_json() -> None:
    """Reports and the service's answers carry it."""
    assert Pose(50.123, -2.06, 0.0).to_json() == {"yaw": 50.1, "pitch": -2.1, "roll": 0.0, "is_profile": True}
