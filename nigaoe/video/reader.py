"""A video file as frames and sound: opened with care, upright, with the times at which frames are shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
from av import Packet, VideoFrame
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from nigaoe.video.colour import ColourCode
from nigaoe_core.errors import BrokenVideo, EmptyVideo, NoPictures, UsageError, VideoTooLarge

# Demuxers of single files. Playlists and descriptions of streams would read other files, or the network.
_DEMUXERS: Final = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,h264,hevc,ivf,m4v,mp3,aac,flac,wav"
_OPTIONS: Final = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}

_USUAL_RATE: Final = Fraction(25)

OnSound = Callable[["Packet[Stream]"], None]


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Limits on the cost of a video.

    Attributes:
        max_seconds: How long it may last.
        max_pixels: Width times height of its frames.
    """

    max_seconds: float = 600.0
    max_pixels: int = 8_900_000


DEFAULT_LIMITS: Final = VideoLimits()
"""Ten minutes in 4K."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipFrame:
    """One frame.

    Attributes:
        rgb: Upright. # [H, W, 3].
        time: When it is shown, in seconds.
        pts: The same in units of the stream's time base.
        duration: How long it is shown, in the same units; 0: the file does not say.
        decoded: As it was decoded, where it need not be turned; None: it was turned.
    """

    rgb: NDArray[np.uint8]
    time: float
    pts: int
    duration: int
    decoded: VideoFrame | None


class VideoReader:
    """Reader of one file; a context manager.

    Args:
        path: The file, of any kind that FFmpeg reads as one file.
        limits: What it may cost.

    Attributes:
        stream: The pictures, as they are coded.
        sound: All streams of sound.
        colour: The code of the colours.
        time_base: Unit of `ClipFrame.pts` in seconds.
        damaged: Packets so far that could not be decoded.

    Raises:
        UsageError: There is no such file, or it may not be read.
        EmptyVideo: It holds no bytes.
        BrokenVideo: It is no video, or damaged.
        NoPictures: It holds sound only.
        VideoTooLarge: Too long, or too many pixels, as its header says.
    """

    def __init__(self, path: Path, limits: VideoLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.damaged = 0
        _check_file(path)
        with _broken(path):
            self._container = av.open(str(path), "r", options=dict(_OPTIONS), metadata_errors="ignore")
        try:
            self.stream = _pictures(self._container.streams.video, path)
            self._check_limits()
        except BaseException:
            self._container.close()
            raise
        self.stream.thread_type = "AUTO"
        self.path = path
        self.sound: tuple[AudioStream, ...] = tuple(self._container.streams.audio)
        self.colour = ColourCode.of(self.stream)
        self.time_base = self.stream.time_base or 1 / _USUAL_RATE
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._container.close()

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        return self.stream.average_rate or self.stream.guessed_rate or _USUAL_RATE

    @property
    def seconds(self) -> float | None:
        """How long it lasts, as the header says; None: it does not say."""
        if self.stream.duration is not None and self.stream.time_base is not None:
            return float(self.stream.duration * self.stream.time_base)
        return self._container.duration / av.time_base if self._container.duration is not None else None

    @property
    def frames_expected(self) -> int | None:
        """About how many frames it has; None: nobody knows."""
        if self.stream.frames:
            return self.stream.frames
        return round(self.seconds * self.rate) if self.seconds is not None else None

    def frames(self, on_sound: OnSound) -> Iterator[ClipFrame]:
        """Read the file from its start to its end.

        Args:
            on_sound: Called with every packet of sound, between the frames where it lies.

        Yields:
            All frames as they are shown.

        Raises:
            BrokenVideo: Nothing of it could be decoded.
            EmptyVideo: It has no frames.
            VideoTooLarge: It lasts longer, or has larger frames, than its header said and than is allowed.
        """
        first, last = None, None
        for decoded in self._decoded(on_sound):
            pts = self._pts(decoded, last)
            first = pts if first is None else first
            if (pts - first) * self.time_base > self.limits.max_seconds:
                raise _too_long(self.limits)
            last = pts
            yield self._frame(decoded, pts)
        if first is None:
            if self.damaged:
                raise BrokenVideo(f"No frame of `{self.path}` can be decoded; please use another copy of it.")
            raise EmptyVideo(f"`{self.path}` has no frames; please use another file.")

    def _decoded(self, on_sound: OnSound) -> Iterator[VideoFrame]:
        packets = self._container.demux((self.stream, *self.sound))
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError:  # A file that ends too early, or is damaged from here on.
                self.damaged += 1
                return
            if isinstance(packet.stream, AudioStream):
                if packet.size:
                    on_sound(packet)
                continue
            try:
                yield from self.stream.decode(packet)
            except FFmpegError:  # What cannot be decoded is left out, as players do.
                self.damaged += 1

    def _pts(self, decoded: VideoFrame, last: int | None) -> int:
        """Return when a frame is shown; later than the one before, also where the file says nothing or errs."""
        if last is None:
            return decoded.pts or 0
        after = last + max(1, round(1 / (self.rate * self.time_base)))
        pts = decoded.pts if decoded.pts is not None else after
        return max(pts, last + 1)

    def _frame(self, decoded: VideoFrame, pts: int) -> ClipFrame:
        if decoded.width * decoded.height > self.limits.max_pixels:
            raise _too_many_pixels(decoded.width, decoded.height, self.limits)
        quarters = round(decoded.rotation / 90) % 4
        # A stream may change its size on the way; the new video keeps the first one.
        self._size = self._size or (decoded.width, decoded.height)
        rgb = np.rot90(self.colour.decode(decoded, *self._size), quarters)
        return ClipFrame(rgb, float(pts * self.time_base), pts, decoded.duration or 0, None if quarters else decoded)

    def _check_limits(self) -> None:
        width, height = self.stream.codec_context.width, self.stream.codec_context.height
        if width * height > self.limits.max_pixels:
            raise _too_many_pixels(width, height, self.limits)
        if (self.seconds or 0) > self.limits.max_seconds:
            raise _too_long(self.limits)


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except FileNotFoundError as error:
        raise UsageError(f"There is no file `{path}`; check the name.") from error
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {error.strerror}.") from error
    if is_empty:
        raise EmptyVideo(f"`{path}` is empty; choose another file.")


@contextmanager
def _broken(path: Path) -> Iterator[None]:
    try:
        yield
    except (FFmpegError, ValueError) as error:
        raise BrokenVideo(
            f"`{path}` is damaged, or no video that can be read; please use an MP4, MOV, MKV, WebM or AVI file."
        ) from error


def _pictures(streams: tuple[VideoStream, ...], path: Path) -> VideoStream:
    """Return the first stream that is more than a cover picture."""
    for stream in streams:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise NoPictures(f"`{path}` has no pictures, so nobody can be drawn; please use a video.")


def _too_long(limits: VideoLimits) -> VideoTooLarge:
    return VideoTooLarge(
        f"The video is longer than {limits.max_seconds / 60:g} minutes; cut it, or allow more with --max-minutes.",
        max_seconds=limits.max_seconds,
    )


def _too_many_pixels(width: int, height: int, limits: VideoLimits) -> VideoTooLarge:
    return VideoTooLarge(
        f"The video has {width} x {height} pixels, more than {limits.max_pixels / 1e6:g} megapixels; make it smaller, "
        "or allow more with --max-megapixels.",
        width=width,
        height=height,
    )
