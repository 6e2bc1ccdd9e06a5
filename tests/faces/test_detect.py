"""Faces are found where people see them, in any photo, from any thread."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nigaoe_core.errors import FaceIndexOutOfRange, MultipleFaces, NoFace
from nigaoe_faces.align import DEMO, align_face
from nigaoe_faces.detect import Face, FaceDetector, choose_face, largest_face
from nigaoe_faces.images import read_photo

Picture = NDArray[np.uint8]

# Read off the sample photos by eye: eyes, nose, mouth corners.
ASTRONAUT = np.array([[203.5, 102.0], [246.0, 103.5], [223.0, 127.0], [203.0, 140.0], [248.0, 140.0]])
ADMIRAL = np.array([[221.0, 189.0], [308.0, 187.0], [264.0, 236.0], [228.0, 279.0], [305.0, 278.0]])


def resized(picture: Picture, scale: float) -> Picture:
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def assert_on(face: Face, landmarks: NDArray[np.float64], tolerance: float = 0.12) -> None:
    """Each landmark lies within ``tolerance`` eye distances of where it was seen."""
    eyes = float(np.linalg.norm(landmarks[1] - landmarks[0]))
    assert np.linalg.norm(face.landmarks - landmarks, axis=1).max() < tolerance * eyes


def test_the_astronauts_face_is_found(detector: FaceDetector, astronaut: Picture) -> None:
    """One face, certain, the right way up, with a box around its features."""
    (face,) = detector.detect(astronaut)
    assert_on(face, ASTRONAUT)
    left, top, right, bottom = face.box
    assert face.confidence > 0.99
    assert not face.pose.is_profile
    assert ((face.landmarks > (left, top)) & (face.landmarks < (right, bottom))).all()


def test_glasses_and_a_cap_do_not_matter(detector: FaceDetector, admiral: Picture) -> None:
    """The second sample wears both."""
    (face,) = detector.detect(admiral)
    assert_on(face, ADMIRAL)


@pytest.mark.parametrize("scale", [0.12, 0.3, 2.0, 7.0])
def test_the_size_of_a_photo_does_not_matter(detector: FaceDetector, admiral: Picture, scale: float) -> None:
    """From a thumbnail of 61 pixels to 15 megapixels; coordinates are always the photo's own."""
    (face,) = detector.detect(resized(admiral, scale))
    assert_on(face, ADMIRAL * scale, tolerance=0.2)


def test_a_group_is_sorted_by_size(detector: FaceDetector, astronaut: Picture, admiral: Picture) -> None:
    """Five people at several distances, the nearest first."""
    photo = np.full((900, 1600, 3), (150, 160, 170), np.uint8)
    places = [(0.5, 40, 40), (1.0, 300, 80), (0.7, 860, 60), (1.3, 1150, 200)]
    for scale, x, y in places[:3]:
        person = resized(astronaut[:400, :420], scale)
        photo[y : y + person.shape[0], x : x + person.shape[1]] = person
    scale, x, y = places[3]
    person = resized(admiral[:500, 130:450], scale)
    photo[y : y + person.shape[0], x : x + person.shape[1]] = person
    faces = detector.detect(photo)
    expected = [
        (ADMIRAL - (130, 0)) * 1.3 + (1150, 200),
        ASTRONAUT * 1.0 + (300, 80),
        ASTRONAUT * 0.7 + (860, 60),
        ASTRONAUT * 0.5 + (40, 40),
    ]
    assert len(faces) == 4
    assert sorted((face.size for face in faces), reverse=True) == [face.size for face in faces]
    for face, landmarks in zip(faces, expected, strict=True):
        assert_on(face, landmarks, tolerance=0.2)


def test_a_small_face_far_away_is_found(detector: FaceDetector, astronaut: Picture) -> None:
    """Too small in the reduced photo, so it is looked for once more in a finer one."""
    photo = np.full((2400, 3200, 3), (90, 120, 90), np.uint8)
    photo[1000:1256, 2000:2256] = resized(astronaut, 0.5)
    (face,) = detector.detect(photo)
    assert_on(face, ASTRONAUT * 0.5 + (2000, 1000), tolerance=0.2)


@pytest.mark.parametrize("degrees", [-150, -90, -45, 30, 90, 135, 180])
def test_a_turned_photo_still_gives_an_upright_crop(detector: FaceDetector, admiral: Picture, degrees: float) -> None:
    """Scans, tilted heads, and phone photos whose metadata were stripped."""
    image = Image.fromarray(admiral).rotate(-degrees, Image.Resampling.BICUBIC, expand=True)
    turned = np.array(image)
    face = largest_face(detector.detect(turned))
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.array([admiral.shape[1], admiral.shape[0]]) / 2
    assert_on(face, (ADMIRAL - middle) @ rotation + np.array(image.size) / 2)
    upright = largest_face(detector.detect(admiral))
    assert (face.pose.roll - upright.pose.roll - degrees + 180) % 360 == pytest.approx(180, abs=2)
    crop, _ = align_face(turned, face.landmarks, DEMO, 64)
    assert np.abs(crop.astype(int) - align_face(admiral, upright.landmarks, DEMO, 64)[0]).mean() < 8


def test_landmarks_hardly_depend_on_the_size_of_the_photo(detector: FaceDetector, admiral: Picture) -> None:
    """Within two percent of the eye distance; MTCNN's own differ by three to five."""
    whole = largest_face(detector.detect(admiral)).landmarks
    half = largest_face(detector.detect(resized(admiral, 0.37))).landmarks / 0.37
    eyes = float(np.linalg.norm(whole[1] - whole[0]))
    assert np.linalg.norm(half - whole, axis=1).mean() < 0.02 * eyes


def test_a_phone_photo_is_turned_by_its_metadata(
    detector: FaceDetector, astronaut: Picture, encode: Callable[..., bytes]
) -> None:
    """Held sideways: the sensor's rows are the photo's columns."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(astronaut).transpose(Image.Transpose.ROTATE_90)
    (face,) = detector.detect(read_photo(encode(stored, "JPEG", exif=exif.tobytes(), quality=90)))
    assert_on(face, ASTRONAUT)


def test_a_grey_scan_is_a_photo(detector: FaceDetector, astronaut: Picture, encode: Callable[..., bytes]) -> None:
    """Colour is not needed."""
    scan = Image.fromarray(astronaut).convert("L")
    (face,) = detector.detect(read_photo(encode(scan, "PNG")))
    assert_on(face, ASTRONAUT)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_turned_head_has_a_yaw(detector: FaceDetector, admiral: Picture, sign: int) -> None:
    """The far half of the face squeezed to a third, as a turning head shows it."""
    columns = np.interp(np.arange(512), [0, 158, 339, 378, 511], [0, 158, 268, 378, 511])
    turned = np.ascontiguousarray(admiral[:, np.rint(columns).astype(int)][:, ::sign])
    face = largest_face(detector.detect(turned))
    assert sign * face.pose.yaw > 18


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((600, 800, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8),
        np.repeat(np.linspace(0, 255, 500, dtype=np.uint8)[:, None, None], 500, axis=1).repeat(3, axis=2),
        np.full((1, 1, 3), 99, np.uint8),
        np.full((3, 4000, 3), 99, np.uint8),
        np.full((3000, 33, 3), 99, np.uint8),
    ],
    ids=["black", "noise", "sky", "pixel", "line", "stripe"],
)
def test_nothing_is_found_where_nobody_is(detector: FaceDetector, photo: Picture) -> None:
    """An empty list, not an error: what it means is for the caller to say."""
    assert detector.detect(photo) == []


def test_half_a_face_at_the_edge_does_not_break_the_detector(detector: FaceDetector, admiral: Picture) -> None:
    """Boxes reach over the edge there."""
    for cut in (admiral[:, 230:], admiral[210:], admiral[:250, :300], admiral[150:330, 180:360]):
        for face in detector.detect(np.ascontiguousarray(cut)):
            assert np.isfinite(face.landmarks).all()


@pytest.mark.slow
def test_threads_share_one_detector(detector: FaceDetector, astronaut: Picture, admiral: Picture) -> None:
    """The service calls it from many; nobody gets the neighbour's face."""
    photos = [astronaut, admiral, np.zeros((200, 200, 3), np.uint8)] * 4
    alone = [[face.to_json() for face in detector.detect(photo)] for photo in photos[:3]] * 4
    with ThreadPoolExecutor(4) as pool:
        together = [[face.to_json() for face in faces] for faces in pool.map(detector.detect, photos)]
    for expected, found in zip(alone, together, strict=True):
        assert len(found) == len(expected)
        for left, right in zip(expected, found, strict=True):
            assert left["landmarks"] == [pytest.approx(point, abs=0.05) for point in right["landmarks"]]


def test_torch_stays_as_it_was(astronaut: Picture) -> None:
    """Same random numbers afterwards, gradients as before, and none for the detector."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    detector = FaceDetector()
    detector.detect(astronaut)
    assert torch.equal(torch.rand(3), expected)
    assert torch.is_grad_enabled()
    assert not any(parameter.requires_grad for parameter in detector._mtcnn.parameters())


@pytest.mark.slow
def test_importing_and_loading_are_silent_and_offline() -> None:
    """No warning, no new warning filter, no network."""
    code = """
import warnings, socket, torch, torchvision, requests, PIL.Image
def refuse(*_): raise SystemExit("network")
socket.socket.connect = refuse
warnings.simplefilter("error")
before = list(warnings.filters)
from nigaoe_faces.detect import FaceDetector
FaceDetector()
assert list(warnings.filters) == before, "filters"
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_less_certain_faces_are_left_out(astronaut: Picture) -> None:
    """The threshold is the caller's."""
    assert FaceDetector(min_confidence=1.1).detect(astronaut) == []


# Which face is meant


def make_faces(count: int) -> list[Face]:
    points = np.array([[30.0, 40], [60, 40], [45, 55], [33, 70], [57, 70]])
    return [Face((0.0, 0.0, 90.0 - n, 100.0), points, 0.99) for n in range(count)]


def test_the_largest_face_is_the_first() -> None:
    """Unless told otherwise."""
    faces = make_faces(3)
    assert choose_face(faces) is largest_face(faces) is choose_face(faces, 0) is faces[0]
    assert choose_face(faces, 2) is faces[2]
    assert choose_face(faces[:1], "only") is faces[0]


def test_no_face_is_an_error_only_for_who_needs_one() -> None:
    """The sentence says what to do."""
    with pytest.raises(NoFace, match="seen from the front"):
        largest_face([])


@pytest.mark.parametrize("index", [2, -1, 99])
def test_a_face_that_is_not_there_cannot_be_chosen(index: int) -> None:
    """Not even by counting from the end."""
    with pytest.raises(FaceIndexOutOfRange, match="shows 2"):
        choose_face(make_faces(2), index)


def test_the_only_face_of_two_is_a_question() -> None:
    """Callers who refuse to guess get told."""
    with pytest.raises(MultipleFaces, match="2 faces"):
        choose_face(make_faces(2), "only")


def test_a_face_is_plain_json() -> None:
    """Reports carry box, landmarks, certainty and pose."""
    (face,) = make_faces(1)
    report = json.loads(json.dumps(face.to_json()))
    assert report["box"] == [0.0, 0.0, 90.0, 100.0]
    assert report["landmarks"][2] == [45.0, 55.0]
    assert report["confidence"] == 0.99
    assert set(report["pose"]) == {"yaw", "pitch", "roll", "is_profile"}


def test_a_face_cannot_be_changed() -> None:
    """Threads share them."""
    (face,) = make_faces(1)
    with pytest.raises(ValueError, match="read-only"):
        face.landmarks[0, 0] = 1.0
