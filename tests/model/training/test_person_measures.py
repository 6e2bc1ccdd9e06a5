"""What is left of a person, by networks made for faces."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nigaoe_faces.align import DEMO, align_face
from nigaoe_faces.detect import FaceDetector, choose_face
from nigaoe_model.recognition.age_sex import Appearance
from nigaoe_model.training.person_measures import appearance, appearance_measures, identity_measures, person_measures


@pytest.fixture(scope="module")
def people(repository: Path) -> torch.Tensor:
    """A young woman and an old one, as a generator's photos are framed. # [2, 3, 128, 128] bytes."""
    detector = FaceDetector()
    crops = []
    for path in sorted((repository / "samples").glob("*.jpg")):
        with Image.open(path) as photo:
            pixels = np.asarray(photo.convert("RGB"))
        crops.append(align_face(pixels, choose_face(detector.detect(pixels)).landmarks, DEMO, 128)[0])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def test_a_perfect_drawing_keeps_everything_and_a_strangers_nothing(people: torch.Tensor) -> None:
    """The photos themselves, smaller and mirrored, are the same people; each other's photos are not."""
    smaller = torch.nn.functional.avg_pool2d(people.float(), 2).round().byte().flip(3)
    kept = person_measures(people, people, smaller, DEMO)
    assert kept["identity, redrawn"] == pytest.approx([1.0, 1.0])
    assert (kept["identity, drawing"] > 0.7).all()
    assert (kept["same person, drawing"] == 1).all()
    assert (kept["sex kept"] == 1).all()
    assert (kept["years apart"] < 8).all()
    swapped = person_measures(people, people, people.flip(0), DEMO)
    assert (swapped["identity, drawing"] < 0).all()
    assert (swapped["identity, redrawn"] > 0.99).all()


def test_age_and_sex_are_what_a_picture_looks_like(people: torch.Tensor) -> None:
    """An astronaut of 42, an admiral of 77 whom her uniform makes a man: it judges pictures, not people."""
    seen = appearance(people, DEMO)
    assert seen.male[0] < 0.5
    assert 25 < seen.age[0] < 50 < 65 < seen.age[1]


def test_identity_is_what_differs_from_the_mean_face() -> None:
    """What all photos have in common says nothing about anyone."""
    photos = torch.tensor([[9.0, 1.0], [9.0, -1.0]])
    measures = identity_measures(photos, torch.tensor([[9.0, 0.5], [9.0, 0.1]]), "drawing")
    assert measures["identity, drawing"] == pytest.approx([1.0, -1.0])
    assert measures["same person, drawing"].tolist() == [1.0, 0.0]


def test_sex_is_kept_by_the_side_and_age_by_the_years() -> None:
    """Just above a half and certain are the same side."""
    photos = Appearance(torch.tensor([20.0, 60.0]), torch.tensor([0.51, 0.2]))
    drawings = Appearance(torch.tensor([25.0, 30.0]), torch.tensor([0.99, 0.7]))
    measures = appearance_measures(photos, drawings)
    assert measures["sex kept"].tolist() == [1.0, 0.0]
    assert measures["years apart"] == pytest.approx([5.0, 30.0])
