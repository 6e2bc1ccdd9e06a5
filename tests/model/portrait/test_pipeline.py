"""Faces through the whole offline pipeline, with a tiny pair."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from feed_forward_files import SIDE, write_feed_forward_styles

from nigaoe_core.errors import (
    BrokenCheckpoint,
    InversionError,
    MethodMismatch,
    NoEncoder,
    UnknownStyle,
    UsageError,
    WrongSize,
)
from nigaoe_core.jobs import Method, Preset
from nigaoe_core.registry import Registry
from nigaoe_faces.align import DEMO
from nigaoe_model.inversion.request import Progress
from nigaoe_model.inversion.settings import PRESETS, InversionSettings
from nigaoe_model.portrait.convert import Conversion, ConversionOptions, redraw
from nigaoe_model.portrait.drawing import Look
from nigaoe_model.portrait.feed_forward import OnePassDrawing
from nigaoe_model.portrait.palette import measure_palette
from nigaoe_model.portrait.pipeline import Pipeline, Subject
from nigaoe_model.portrait.upscale import LARGE_FILE
from nigaoe_model.stylegan2.checkpoint import load_checkpoint, save_checkpoint

MANIFEST = """
format_version = 1
[generators.base]
file = "g_ori.safetensors"
domain = "human"
[styles.toy]
file = "g_fin.safetensors"
parent = "base"
"""


@pytest.fixture
def pipeline(tiny_files: tuple[Path, Path]) -> Pipeline:
    """An installation with one style, two slots wide."""
    folder = tiny_files[0].parent
    (folder / "manifest.toml").write_text(MANIFEST)
    return Pipeline(Registry.load(folder), width=2)


@pytest.fixture
def guessing(pipeline: Pipeline, encoder_file: Path) -> Pipeline:
    """The same installation with an encoder."""
    folder = pipeline.registry.folders[0]
    row = f'file = "g_ori.safetensors"\nencoder = "{encoder_file.name}"'
    (folder / "manifest.toml").write_text(MANIFEST.replace('file = "g_ori.safetensors"', row))
    return Pipeline(Registry.load(folder), width=2)


def options(method: Method = Method.CROSS, steps: int = 3) -> ConversionOptions:
    return ConversionOptions(method, InversionSettings(steps=steps))


def crops(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(count)]


def converted(outcome: object) -> Conversion:
    assert isinstance(outcome, Conversion), outcome
    return outcome


def test_every_face_comes_back_with_its_own_portrait(pipeline: Pipeline) -> None:
    """Five faces share two slots; each subject returns once, and as if it had been alone."""
    subjects = [Subject(crop) for crop in crops(5)]
    together = {subject: converted(outcome) for subject, outcome in pipeline.convert("toy", options(), subjects)}
    assert set(together) == set(subjects)
    for subject in subjects:
        ((_, alone),) = pipeline.convert("toy", options(), [subject])
        torch.testing.assert_close(
            together[subject].portrait.picture, converted(alone).portrait.picture, atol=2e-4, rtol=0
        )


@pytest.mark.parametrize("method", list(Method))
def test_methods_report_what_they_did(pipeline: Pipeline, method: Method) -> None:
    """Each method ends in pictures, a latent of g_ori's space, and a report that says how far it came."""
    (subject,) = [Subject(crop, seed=7) for crop in crops(1)]
    ((_, outcome),) = pipeline.convert("toy", options(method), [subject])
    conversion = converted(outcome)
    assert conversion.portrait.picture.shape == (3, 64, 64)
    assert conversion.report["method"] == method.value
    assert conversion.report["steps"] == (6 if method is Method.BEST else 3)
    assert conversion.report["distance_end"] <= conversion.report["distance_start"]
    assert conversion.latent.card.generator_sha256 == pipeline.generator("base").digest


def test_one_bad_face_does_not_stop_the_others(pipeline: Pipeline) -> None:
    """What a listener raises fails its own face alone."""

    def refuse(_: Progress) -> None:
        raise InversionError("nobody listens any more")

    first, second = crops(2)
    bad, good = Subject(first, on_progress=refuse), Subject(second)
    outcomes = dict(pipeline.convert("toy", options(), [bad, good]))
    assert isinstance(outcomes[bad], InversionError)
    assert isinstance(outcomes[good], Conversion)


def test_progress_is_reported_with_previews(pipeline: Pipeline) -> None:
    """Every step is reported, and a preview as often as it was asked for."""
    heard: list[Progress] = []
    subject = Subject(crops(1)[0], on_progress=heard.append, preview_interval=2)
    list(pipeline.convert("toy", options(steps=4), [subject]))
    assert [progress.step for progress in heard] == [1, 2, 3, 4]
    assert any(progress.preview is not None for progress in heard)


def test_a_latent_can_be_redrawn_without_searching(pipeline: Pipeline) -> None:
    """Another look from the stored latent equals what a full conversion with that look draws."""
    subject = Subject(crops(1)[0])
    ((_, first),) = pipeline.convert("toy", options(), [subject])
    look = Look(degree=0.5, truncation_psi=0.7)
    again = redraw(pipeline.pair("toy"), converted(first).latent, look, pipeline.upscaler)
    asked = ConversionOptions(Method.CROSS, InversionSettings(steps=3), look)
    ((_, second),) = pipeline.convert("toy", asked, [subject])
    torch.testing.assert_close(again.picture, converted(second).portrait.picture, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("method", "changed"), [(Method.CROSS, True), (Method.DIRECT, False)])
def test_only_who_was_found_as_a_person_has_colours_to_take_over(
    pipeline: Pipeline, tiny_files: tuple[Path, Path], method: Method, changed: bool
) -> None:
    """A latent that was found by what the style draws has the photo's colours as it is."""
    base, child = (load_checkpoint(path) for path in tiny_files)
    palette = measure_palette(base.build_generator(), child.build_generator(), samples=32)
    save_checkpoint(replace(child, palette=palette), tiny_files[1])
    ((_, outcome),) = pipeline.convert("toy", options(method), [Subject(crops(1)[0])])
    latent, pair = converted(outcome).latent, pipeline.pair("toy")
    plain, coloured = (redraw(pair, latent, Look(colours=share), None) for share in (0.0, 1.0))
    assert torch.equal(plain.drawing, coloured.drawing) is not changed


def test_unknown_styles_list_the_known(pipeline: Pipeline) -> None:
    """A typing mistake is answered with what there is."""
    with pytest.raises(UnknownStyle, match="toy"):
        pipeline.pair("tyo")


def test_a_pair_with_an_encoder_starts_from_its_guess(guessing: Pipeline, pipeline: Pipeline) -> None:
    """The report says where the search began and how far that was; without an encoder it is the mean face."""
    asked = ConversionOptions(settings=InversionSettings(steps=2, start="encoder"))
    subject = Subject(crops(1)[0])
    ((_, guessed),) = guessing.convert("toy", asked, [subject])
    ((_, plain),) = pipeline.convert("toy", options(steps=2), [subject])
    assert (converted(guessed).report["start"], converted(plain).report["start"]) == ("encoder", "mean")
    assert converted(guessed).report["distance_start"] != converted(plain).report["distance_start"]
    assert "encoder" in converted(guessed).report["models"]


def test_both_searches_of_the_best_begin_where_they_can(guessing: Pipeline) -> None:
    """The guess is a person's latent: the person is searched from it, the drawing from the mean face."""
    asked = ConversionOptions(Method.BEST, InversionSettings(steps=2, start="encoder"))
    ((_, outcome),) = guessing.convert("toy", asked, [Subject(crops(1)[0])])
    assert converted(outcome).report["start"] == "encoder"
    assert converted(outcome).report["steps"] == 4


def test_an_instant_portrait_is_the_guess_drawn(guessing: Pipeline) -> None:
    """Without a step, several in one pass; its latent can be drawn otherwise, and is where a search would begin."""
    subjects = [Subject(crop, seed=number) for number, crop in enumerate(crops(3))]
    asked = ConversionOptions(settings=PRESETS[Preset.INSTANT])
    for number, (subject, outcome) in enumerate(guessing.convert("toy", asked, subjects)):
        conversion = converted(outcome)
        assert subject is subjects[number]
        assert (conversion.report["steps"], conversion.report["stop_reason"]) == (0, "one_pass")
        assert conversion.latent.card.seed == number
        again = guessing.restyle(conversion, "toy", Look())
        torch.testing.assert_close(again.portrait.picture, conversion.portrait.picture, atol=2e-4, rtol=0)
        searched = ConversionOptions(settings=InversionSettings(steps=1, start="encoder"))
        ((_, first),) = guessing.convert("toy", searched, [subject])
        torch.testing.assert_close(converted(first).latent.w_plus, conversion.latent.w_plus, atol=1e-4, rtol=0)


def test_an_instant_portrait_needs_an_encoder_and_no_other_method(pipeline: Pipeline) -> None:
    """The mean face would be drawn otherwise, or a search be left out that was asked for."""
    with pytest.raises(NoEncoder, match="train encoder"):
        next(pipeline.convert("toy", ConversionOptions(settings=PRESETS[Preset.INSTANT]), map(Subject, crops(1))))
    with pytest.raises(UsageError, match="method `best`"):
        ConversionOptions(Method.BEST, PRESETS[Preset.INSTANT])


def test_who_insists_on_a_guess_needs_an_encoder(guessing: Pipeline, pipeline: Pipeline) -> None:
    """Reported before any face is searched: no encoder installed, or a method that does not search where it guesses."""
    insisting = InversionSettings(start="encoder")
    with pytest.raises(UsageError, match="train encoder"):
        pipeline.check("toy", ConversionOptions(settings=insisting))
    with pytest.raises(UsageError, match="direct"):
        next(guessing.convert("toy", ConversionOptions(Method.DIRECT, insisting), [Subject(crops(1)[0])]))
    assert guessing.check("toy", ConversionOptions(settings=insisting)).style == "toy"


def test_a_styles_entry_says_how_its_drawings_are_enlarged(pipeline: Pipeline) -> None:
    """The same drawing by plain Lanczos, once the manifest says so; a way without its weights is reported at once."""
    folder = pipeline.registry.folders[0]
    (folder / "manifest.toml").write_text(MANIFEST + 'upscaler = "lanczos"\n')
    plain = Pipeline(Registry.load(folder), width=2)
    portraits = [
        converted(outcome).portrait
        for some in (pipeline, plain)
        for _, outcome in some.convert("toy", options(), [Subject(crops(1)[0])])
    ]
    assert torch.equal(portraits[0].drawing, portraits[1].drawing)
    assert not torch.allclose(portraits[0].picture, portraits[1].picture, atol=0.01)
    (folder / "manifest.toml").write_text(MANIFEST + 'upscaler = "realesrgan-x4plus-anime"\n')
    (folder / LARGE_FILE).write_bytes(b"half a download")
    with pytest.raises(BrokenCheckpoint, match="upscaler"):
        Pipeline(Registry.load(folder)).pair("toy")


def test_feed_forward_styles_draw_pass_by_pass(tiny_files: tuple[Path, Path]) -> None:
    """Five faces in passes of two, each as if alone; what is wrong with one stands in its place, and stops nobody."""
    folder = tiny_files[0].parent
    (folder / "manifest.toml").write_text(MANIFEST)
    write_feed_forward_styles(folder)
    pipeline = Pipeline(Registry.load(folder), width=2, upscale=False)
    assert pipeline.framing("roses") == (DEMO, SIDE)
    random = np.random.default_rng(0)
    faces = [random.integers(0, 255, (2 * SIDE, 2 * SIDE, 3), dtype=np.uint8) for _ in range(5)]
    subjects = [Subject(face, seed=number, reference=faces[0]) for number, face in enumerate(faces)]
    subjects.insert(2, Subject(faces[0][:SIDE]))
    outcomes = dict(pipeline.draw("roses", subjects))
    assert set(outcomes) == set(subjects)
    for subject, outcome in outcomes.items():
        if subject is subjects[2]:
            assert isinstance(outcome, WrongSize)
            continue
        ((_, alone),) = pipeline.draw("roses", [subject])
        assert isinstance(outcome, OnePassDrawing)
        assert isinstance(alone, OnePassDrawing)
        torch.testing.assert_close(outcome.drawing, alone.drawing, atol=1e-4, rtol=0)
    with pytest.raises(MethodMismatch, match="one pass"):
        list(pipeline.convert("roses", options(), subjects))
    with pytest.raises(MethodMismatch, match="searched"):
        list(pipeline.draw("toy", subjects))
