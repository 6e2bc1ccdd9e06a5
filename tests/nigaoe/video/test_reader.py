"""Files that people name: each is read as a player would show it, or refused with a word on why."""

from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, Picture, background, write_clip

from nigaoe.video.reader import ClipFrame, VideoLimits, VideoReader
from nigaoe_core.errors import BrokenVideo, EmptyVideo, NoPictures, UsageError, VideoTooLarge


def frames_of(path: Path, limits: VideoLimits | None = None) -> list[ClipFrame]:
    with VideoReader(path, limits or VideoLimits()) as reader:
        return list(reader.frames(lambda _: None))


def still(count: int = 4) -> list[Picture]:
    return [background()] * count


def test_frames_come_with_their_times(tmp_path: Path) -> None:
    """In a phone's video no two frames need be equally far apart."""
    times = [0, 33, 67, 200, 210, 450]
    read = frames_of(write_clip(tmp_path / "vfr.mp4", Clip(still(6), times)))
    assert [round(frame.time * 1000) for frame in read] == times


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_turned_videos_are_read_upright(tmp_path: Path, turn: int) -> None:
    """The pixels lie on their side, the header says so."""
    upright = background()[:192]
    lying = np.rot90(upright, -turn // 90)
    read = frames_of(write_clip(tmp_path / "turned.mp4", Clip([lying] * 2, rotation=turn, sound=None)))
    assert read[0].rgb.shape == upright.shape
    assert np.abs(read[0].rgb.astype(float) - upright).mean() < 4


def test_colours_are_the_files_own(tmp_path: Path) -> None:
    """What was written comes back."""
    (first, *_) = frames_of(write_clip(tmp_path / "colours.mp4", Clip(still())))
    assert np.abs(first.rgb.astype(float) - background()).mean() < 4


def test_all_sound_is_handed_over(tmp_path: Path) -> None:
    """Packet by packet, as it lies between the frames."""
    path = write_clip(tmp_path / "clip.mp4", Clip(still()))
    packets: list[bytes] = []
    with VideoReader(path) as reader:
        list(reader.frames(lambda packet: packets.append(bytes(packet))))
    with av.open(str(path)) as file:
        assert packets == [bytes(packet) for packet in file.demux(audio=0) if packet.size]


def test_files_that_are_no_videos(tmp_path: Path, sample_photo: Path) -> None:
    """Empty, text, a photo, a playlist that names other files, half a video: an error of its own for each kind."""
    whole = write_clip(tmp_path / "whole.mp4", Clip(still())).read_bytes()
    files = {
        "empty.mp4": (b"", EmptyVideo),
        "text.mp4": (b"This is no video. " * 100, BrokenVideo),
        "photo.mp4": (sample_photo.read_bytes(), BrokenVideo),
        "list.m3u8": (b"#EXTM3U\n#EXTINF:1,\nwhole.mp4\n#EXT-X-ENDLIST\n", BrokenVideo),
        "files.mp4": (b"ffconcat version 1.0\nfile whole.mp4\n", BrokenVideo),
        "half.mp4": (whole[: len(whole) // 2], BrokenVideo),
    }
    for name, (content, error) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(error, match=name):
            frames_of(tmp_path / name)
    with pytest.raises(UsageError, match="check the name"):
        frames_of(tmp_path / "nowhere.mp4")
    with pytest.raises(UsageError, match="cannot be read"):
        frames_of(tmp_path)


def test_a_video_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Matroska has no index to lose: the frames before the break are there."""
    whole = write_clip(tmp_path / "whole.mkv", Clip([background(i) for i in range(8)], sound=None))
    (tmp_path / "half.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert 0 < len(frames_of(tmp_path / "half.mkv")) < 8


def test_sound_alone_has_nobody_to_draw(tmp_path: Path) -> None:
    """A cover picture is none either."""
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=48_000)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 48_000
        file.mux(stream.encode(silence))
        file.mux(stream.encode(None))
    with pytest.raises(NoPictures, match="song"):
        frames_of(path)


def test_long_and_large_videos_are_refused(tmp_path: Path) -> None:
    """Before a frame is decoded; the sentence names the option that allows more."""
    path = write_clip(tmp_path / "long.mp4", Clip(still(), [0, 1000, 2000, 3000]))
    with pytest.raises(VideoTooLarge, match="--max-minutes"):
        frames_of(path, VideoLimits(max_seconds=1.5))
    with pytest.raises(VideoTooLarge, match="--max-megapixels"):
        frames_of(path, VideoLimits(max_pixels=1000))


def test_a_header_that_says_nothing_is_no_way_around_the_limits(tmp_path: Path) -> None:
    """A raw stream has no duration; its frames have times."""
    with av.open(str(tmp_path / "raw.h264"), "w", format="h264") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width = stream.height = 256
        for _ in range(50):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(background())))
        file.mux(stream.encode(None))
    assert len(frames_of(tmp_path / "raw.h264")) == 50
    with pytest.raises(VideoTooLarge):
        frames_of(tmp_path / "raw.h264", VideoLimits(max_seconds=1.0))
