"""A person of a video is drawn in every frame, steadily, and all else stays."""

from pathlib import Path

import numpy as np
import pytest
from clips import Clip, Picture, Sound, background, pictures_of, sound_of, times_of, write_clip

from nigaoe import Nigaoe
from nigaoe.video.conversion import VideoProgress
from nigaoe_core.errors import FaceIndexOutOfRange, NoFace, SoundNotTaken, UsageError
from nigaoe_faces.temporal import flicker

INSIDE = (slice(84, 170), slice(84, 170))
"""The middle of the face in every frame of the clip."""
OUTSIDE = (slice(0, 16), slice(None))


def difference(one: Picture, other: Picture, where: tuple[slice, slice]) -> float:
    return float(np.abs(one[where].astype(float) - other[where]).mean())


def test_every_frame_shows_the_drawing_and_all_else_stays(nigaoe_library: Nigaoe, clip: Path, tmp_path: Path) -> None:
    """Frames, times and sound as they were; drawn with less flicker than frame by frame."""
    heard: list[VideoProgress] = []
    report = nigaoe_library.convert_video(clip, tmp_path / "drawn.mp4", colours=0.0, on_progress=heard.append)
    assert (report["frames"], report["drawn"], report["shots"]) == (12, 12, 1)
    assert heard[-1] == VideoProgress(12, 12, 12, 1)
    photos, drawn = pictures_of(clip), pictures_of(tmp_path / "drawn.mp4")
    assert times_of(tmp_path / "drawn.mp4") == times_of(clip)
    assert sound_of(tmp_path / "drawn.mp4") == sound_of(clip)
    for photo, frame in zip(photos, drawn, strict=True):
        assert difference(photo, frame, INSIDE) > 12
        assert difference(photo, frame, OUTSIDE) < 6  # The codec and the noise.
    nigaoe_library.convert_video(clip, tmp_path / "single.mp4", colours=0.0, smooth=False)
    steady, single = (
        flicker([photo[INSIDE] for photo in photos], [frame[INSIDE] for frame in frames])
        for frames in (drawn, pictures_of(tmp_path / "single.mp4"))
    )
    assert steady < 0.9 * single


def test_times_that_vary_and_a_turned_picture(
    nigaoe_library: Nigaoe, face_frames: list[Picture], tmp_path: Path
) -> None:
    """A phone held upright: the drawing stands on its feet, and every frame is shown when it was."""
    times = [0, 33, 120, 130]
    lying = [np.rot90(frame[:, :232], 1) for frame in face_frames[:4]]
    source = write_clip(tmp_path / "phone.mp4", Clip(lying, times, rotation=-90))
    report = nigaoe_library.convert_video(source, tmp_path / "drawn.mp4", colours=0.0)
    assert report["drawn"] == 4
    drawn = pictures_of(tmp_path / "drawn.mp4")
    assert drawn[0].shape == (256, 232, 3)
    assert difference(drawn[0], face_frames[0][:, :232], OUTSIDE) < 8
    assert difference(drawn[0], face_frames[0][:, :232], INSIDE) > 12
    assert [round(float(time) * 1000) for time in times_of(tmp_path / "drawn.mp4")] == times


def test_frames_without_a_face_keep_their_picture(
    nigaoe_library: Nigaoe, face_frames: list[Picture], tmp_path: Path
) -> None:
    """A landscape, then the person, then a landscape: two cuts."""
    land = background(5)
    source = write_clip(tmp_path / "film.mkv", Clip([land] * 2 + face_frames[:3] + [land] * 2, sound=None))
    report = nigaoe_library.convert_video(source, tmp_path / "drawn.mkv", colours=0.0)
    assert (report["frames"], report["drawn"], report["shots"]) == (7, 3, 1)
    everything = (slice(None), slice(None))
    changes = [
        difference(photo, frame, everything)
        for photo, frame in zip(pictures_of(source), pictures_of(tmp_path / "drawn.mkv"), strict=True)
    ]
    assert max(changes[i] for i in (0, 1, 5, 6)) < 4 < min(changes[2:5])


@pytest.mark.parametrize("ending", [".webm", ".mov"])
def test_other_kinds_of_files(nigaoe_library: Nigaoe, face_frames: list[Picture], tmp_path: Path, ending: str) -> None:
    """A side of an odd number of pixels, and sound that fits into both."""
    codec = "libopus" if ending == ".webm" else "aac"
    frames = [frame[:, :241] for frame in face_frames[:2]]
    source = write_clip(tmp_path / "clip.mkv", Clip(frames, [5, 45], sound=Sound(codec), pixel_format="yuv444p"))
    target = tmp_path / f"drawn{ending}"
    assert nigaoe_library.convert_video(source, target, colours=0.0)["drawn"] == 2
    assert [frame.shape for frame in pictures_of(target)] == [(256, 241, 3)] * 2
    assert [content for _, content in sound_of(target)] == [content for _, content in sound_of(source)]


def test_the_first_frame_of_a_shot_can_be_searched(
    nigaoe_library: Nigaoe, face_frames: list[Picture], tmp_path: Path
) -> None:
    """A few steps change what is drawn in all frames."""
    source = write_clip(tmp_path / "clip.mp4", Clip(face_frames[:3]))
    nigaoe_library.convert_video(source, tmp_path / "guess.mp4", colours=0.0)
    nigaoe_library.convert_video(source, tmp_path / "found.mp4", colours=0.0, first_frame_search=True, steps=4)
    guessed, found = pictures_of(tmp_path / "guess.mp4"), pictures_of(tmp_path / "found.mp4")
    assert min(difference(a, b, INSIDE) for a, b in zip(guessed, found, strict=True)) > 0.5


def test_nobody_in_any_frame(nigaoe_library: Nigaoe, face_frames: list[Picture], tmp_path: Path) -> None:
    """No face, or not this one: an error, and no file."""
    empty = write_clip(tmp_path / "land.mp4", Clip([background()] * 3))
    with pytest.raises(NoFace, match="any frame"):
        nigaoe_library.convert_video(empty, tmp_path / "out" / "drawn.mp4")
    alone = write_clip(tmp_path / "alone.mp4", Clip(face_frames[:1]))
    with pytest.raises(FaceIndexOutOfRange, match="face 3"):
        nigaoe_library.convert_video(alone, tmp_path / "out" / "drawn.mp4", face=3)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interruption_leaves_no_half_file(nigaoe_library: Nigaoe, clip: Path, tmp_path: Path) -> None:
    """Ctrl-C after the first batch: an older result is untouched, and nothing lies beside it."""
    older = tmp_path / "drawn.mp4"
    older.write_bytes(b"older")

    def interrupt(_: VideoProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nigaoe_library.convert_video(clip, older, colours=0.0, on_progress=interrupt)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("drawn.mp4", b"older")]


def test_what_cannot_be_written_is_refused_at_once(nigaoe_library: Nigaoe, clip: Path, tmp_path: Path) -> None:
    """An unknown ending, the video itself, sound of a codec that the container does not take."""
    with pytest.raises(UsageError, match=r"\.webm"):
        nigaoe_library.convert_video(clip, tmp_path / "drawn.txt")
    with pytest.raises(UsageError, match="the video itself"):
        nigaoe_library.convert_video(clip, clip)
    tone = write_clip(tmp_path / "pcm.mkv", Clip([background()] * 2, sound=Sound("flac")))
    with pytest.raises(SoundNotTaken, match="mkv"):
        nigaoe_library.convert_video(tone, tmp_path / "drawn.webm")
    assert not (tmp_path / "drawn.webm").exists()
