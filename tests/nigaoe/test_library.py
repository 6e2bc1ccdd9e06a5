"""`from nigaoe import Nigaoe`, as a notebook uses it."""

import doctest
import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing_counter import DrawingCounter
from PIL import Image

import nigaoe as package
from nigaoe import BatchProgress, Drawing, Nigaoe, NigaoeError, StoredLatent, library
from nigaoe.photos import read_pixels
from nigaoe_core.errors import InversionError, NoFace, UnknownStyle, UsageError

NOTEBOOK = Path("docs/notebook.ipynb")


@pytest.fixture(scope="module")
def nigaoe() -> Nigaoe:
    """The bundled weights on the CPU."""
    return Nigaoe(device="cpu", threads=1)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests compute in this process, too."""
    monkeypatch.setenv("NIGAOE_TORCH_THREADS", "1")


def test_importing_the_package_loads_nothing() -> None:
    """PyTorch comes with the first name that is used; every public name is there, and no other."""
    heavy = "{'torch', 'PIL', 'numpy'} & {*sys.modules}"
    code = f"import sys, nigaoe; assert not {heavy}; nigaoe.Nigaoe; assert {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert all(hasattr(package, name) for name in package.__all__)
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="nonsense"):
        package.nonsense  # noqa: B018 - the access is the test


def test_a_photo_becomes_a_portrait(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """Pictures for people, a latent to keep, a report for programs."""
    heard: list[BatchProgress] = []
    result = nigaoe.convert(sample_photo, style="anime", steps=3, frames=3, on_progress=heard.append)
    assert result.picture.size == (512, 512)
    assert result.person.size == result.crop.size == (128, 128)
    assert len(result.frames) == 3
    assert result.comparison().height == 512
    assert result.pasted().size == tuple(read_pixels(sample_photo).shape[1::-1])
    assert Image.open(BytesIO(result._repr_png_())).size == (512, 512)
    assert json.loads(json.dumps(result.report))["photo"] == str(sample_photo)
    assert (result.report["style"], result.report["steps"], result.report["faces_found"]) == ("anime", 3, 1)
    assert [progress.step for progress in heard] == [0, 1, 2, 3, 3]
    assert heard[-1] == BatchProgress(step=3, steps=3, faces=1, distance=result.report["distance_end"])


def test_an_instant_portrait_is_the_encoders_guess(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """No step, no frames, and a latent that can be drawn otherwise; with steps it is a search from the guess."""
    result = nigaoe.convert(sample_photo, style="anime", preset="instant", frames=3)
    assert result.picture.size == (512, 512)
    assert not result.frames
    assert (result.report["steps"], result.report["start"], result.report["distance_end"]) == (0, "encoder", None)
    assert json.loads(json.dumps(result.report))["stop_reason"] == "one_pass"
    assert nigaoe.restyle(result.latent, "tv").report["style"] == "tv"
    assert nigaoe.convert(sample_photo, preset="instant", steps=1).report["start"] == "encoder"


def test_a_photo_is_drawn_once(nigaoe: Nigaoe, sample_photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Person and drawing, six blocks each; another style draws the drawing alone."""
    nigaoe.check("anime")
    drawn = DrawingCounter(monkeypatch)
    result = nigaoe.convert(sample_photo, style="anime", steps=2)
    assert drawn.take() == [6, 6]
    nigaoe.restyle(result, "tv")
    assert drawn.take() == [6]


def test_what_was_found_is_drawn_otherwise_without_a_search(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """As a conversion with these options would have drawn it, also from a latent that was kept."""
    first = nigaoe.convert(sample_photo, style="anime", steps=2)
    full = nigaoe.convert(sample_photo, style="tv", steps=2, degree=0.6, truncation=0.9, colours=0.5)
    again = nigaoe.restyle(first, "tv", degree=0.6, truncation=0.9, colours=0.5)
    assert again.picture.tobytes() == full.picture.tobytes()
    assert again.report["style"] == "tv"
    assert again.face is first.face
    kept = nigaoe.restyle(
        StoredLatent.from_bytes(first.latent.to_bytes()), "tv", degree=0.6, truncation=0.9, colours=0.5
    )
    assert kept.picture.tobytes() == full.picture.tobytes()
    assert (kept.report["style"], kept.report["steps"]) == ("tv", 2)
    assert nigaoe.restyle(first.latent).picture.tobytes() == first.picture.tobytes()


def test_a_batch_reports_what_failed_and_goes_on(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """Photos in any form; without a listener the first failure is raised."""
    sky = np.full((200, 200, 3), 120, dtype=np.uint8)
    failed: list[NigaoeError] = []
    heard: list[BatchProgress] = []
    photos = [sky, sample_photo.read_bytes(), Image.fromarray(read_pixels(sample_photo))]
    results = list(
        nigaoe.convert_all(photos, steps=2, on_progress=heard.append, on_error=lambda _, error: failed.append(error))
    )
    assert [type(error) for error in failed] == [NoFace]
    assert [result.report["photo"] for result in results] == ["photo", "photo"]
    assert results[0].picture.tobytes() == results[1].picture.tobytes()
    assert (heard[-1].step, heard[-1].steps, heard[-1].faces) == (4, 4, 3)
    with pytest.raises(NoFace):
        nigaoe.convert(sky, steps=2)


def test_a_batch_may_be_left_and_others_run_meanwhile(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """Faces that are still searched then disturb nobody."""
    alone = nigaoe.convert(sample_photo, steps=2)
    results = nigaoe.convert_all([sample_photo] * 9, steps=2)
    next(results)
    meanwhile = nigaoe.convert(sample_photo, steps=2)
    del results
    afterwards = nigaoe.convert(sample_photo, steps=2)
    assert alone.picture.tobytes() == meanwhile.picture.tobytes() == afterwards.picture.tobytes()


def test_a_listener_that_raises_fails_its_face(nigaoe: Nigaoe, sample_photo: Path) -> None:
    """With the reason, and the next conversion goes well."""

    def refuse(progress: BatchProgress) -> None:
        if progress.step:
            raise RuntimeError("the widget is gone")

    with pytest.raises((InversionError, RuntimeError)):
        nigaoe.convert(sample_photo, steps=2, on_progress=refuse)
    assert nigaoe.convert(sample_photo, steps=2).report["steps"] == 2


def test_wrong_options_are_refused_before_any_photo_is_opened(nigaoe: Nigaoe) -> None:
    """With what to choose instead."""
    nobody = Path("nobody.jpg")
    with pytest.raises(UnknownStyle, match="anime"):
        nigaoe.convert_all([nobody], style="cubism")
    for options, word in (
        ({"method": "guess"}, "cross, direct, best"),
        ({"preset": "slow"}, "instant, draft, standard, best"),
        ({"preset": "instant", "method": "best"}, "method `best`"),
        ({"steps": -1}, "steps"),
        ({"steps": 0}, "steps"),
        ({"truncation": 2.0}, "mean face"),
        ({"degree": -1.0}, "degree"),
        ({"method": "direct", "start": "encoder"}, "train encoder"),
    ):
        with pytest.raises(UsageError, match=word):
            nigaoe.convert_all([nobody], **options)  # type: ignore[arg-type]  # mistakes


def test_people_who_do_not_exist(nigaoe: Nigaoe) -> None:
    """The same seed draws the same people, who can be drawn in another style, too."""
    people = nigaoe.sample(9, style="anime", seed=3)
    assert len(people) == 9
    again = nigaoe.sample(1, style="tv", seed=3)[0]
    torch.testing.assert_close(again.conversion.portrait.person, people[0].conversion.portrait.person)
    restyled = nigaoe.restyle(people[0], "tv", truncation=1.0)
    assert isinstance(restyled, Drawing)
    portraits = [drawing.conversion.portrait for drawing in (restyled, again)]
    torch.testing.assert_close(portraits[0].drawing, portraits[1].drawing, atol=2e-4, rtol=0)
    with pytest.raises(UsageError, match="truncation"):
        nigaoe.sample(truncation=1.2)


def test_the_examples_in_the_documentation_run(
    repository: Path, method_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the module, and of a conversion in one pass."""
    monkeypatch.chdir(repository)
    methods = Nigaoe(device="cpu", threads=1, weights=method_weights)
    result = doctest.testmod(library, extraglobs={"nigaoe": methods})
    assert result.attempted >= 9
    assert result.failed == 0


@pytest.mark.slow
def test_the_notebook_runs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell by cell, in its folder, as plain Python: a kernel would bring twenty packages and no other answer."""
    monkeypatch.chdir(repository / NOTEBOOK.parent)
    cells = json.loads((repository / NOTEBOOK).read_text())["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec("".join(cell["source"]), names)
    pictures = names["pictures"]
    assert isinstance(pictures, dict)
    assert pictures
    assert names["failed"] == []
