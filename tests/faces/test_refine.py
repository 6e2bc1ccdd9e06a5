"""O-Net looks again, and its answer no longer depends on how it was asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nigaoe_faces.detect import FaceDetector
from nigaoe_faces.refine import Networks, refine_landmarks

Picture = NDArray[np.uint8]

# The admiral's eyes, nose and mouth corners, read off the sample by eye; the eyes are 87 pixels apart.
ADMIRAL = np.array([[221.0, 189.0], [308.0, 187.0], [264.0, 236.0], [228.0, 279.0], [305.0, 278.0]])
EYES = 87.0


@pytest.fixture(scope="module")
def networks(detector: FaceDetector) -> Networks:
    return detector._networks


def about_the_nose(scale: float, degrees: float) -> NDArray[np.float64]:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (ADMIRAL - ADMIRAL[2]) @ turn * scale + ADMIRAL[2]


@pytest.mark.parametrize(
    "start",
    [
        about_the_nose(0.85, 0),
        about_the_nose(1.2, 0),
        about_the_nose(1, 20),
        about_the_nose(1, 180),
        ADMIRAL + np.array([9, -7]),
    ],
    ids=["small", "large", "tilted", "upside down", "beside"],
)
def test_a_wrong_start_leads_to_the_same_landmarks(
    networks: Networks, admiral: Picture, start: NDArray[np.float64]
) -> None:
    """Two percent of the eye distance, from starts that are ten and more percent off."""
    best, score = refine_landmarks(networks, admiral, ADMIRAL)
    again, other_score = refine_landmarks(networks, admiral, start)
    assert np.linalg.norm(again - best, axis=1).mean() < 0.02 * EYES
    assert np.linalg.norm(best - ADMIRAL, axis=1).max() < 0.12 * EYES
    assert min(score, other_score) > 0.95


def test_a_mirrored_photo_has_mirrored_landmarks(networks: Networks, admiral: Picture) -> None:
    """Left and right are treated alike."""
    best, _ = refine_landmarks(networks, admiral, ADMIRAL)
    mirrored_start = ADMIRAL[[1, 0, 2, 4, 3]] * (-1, 1) + (512, 0)
    mirrored, _ = refine_landmarks(networks, np.ascontiguousarray(admiral[:, ::-1]), mirrored_start)
    assert np.linalg.norm(mirrored[[1, 0, 2, 4, 3]] * (-1, 1) + (512, 0) - best, axis=1).max() < 0.02 * EYES


def test_what_is_no_face_scores_low(networks: Networks, admiral: Picture) -> None:
    """Her medals are not mistaken for a face, even when the cascade should propose them."""
    _, score = refine_landmarks(networks, admiral, ADMIRAL * 0.5 + (270, 380))
    assert score < 0.5


def test_where_one_network_is_in_doubt_both_say_which_way_is_up(networks: Networks, admiral: Picture) -> None:
    """An O-Net that likes the face a little better upside down does not turn it over: R-Net knows better."""

    def doubtful(crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        boxes, landmarks, scores = networks.onet(crops)
        swayed = torch.where(scores.mean(dim=0)[1] > 0.9, 0.970, 0.975).expand(len(crops))
        return boxes, landmarks, torch.stack([1 - swayed, swayed], dim=1)

    swaying = replace(networks, onet=doubtful)
    for start in (ADMIRAL, about_the_nose(1, 180)):
        landmarks, _ = refine_landmarks(swaying, admiral, start)
        assert np.linalg.norm(landmarks - ADMIRAL, axis=1).max() < 0.12 * EYES
