"""Drawn frames and copied sound as a video file, which appears under its name only when it is whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import av
import numpy as np
from av import Packet
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.stream import Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from nigaoe.video.reader import ClipFrame, VideoReader
from nigaoe_core.atomic_write import atomic_replacement
from nigaoe_core.errors import SoundNotTaken, UsageError, VideoError
from nigaoe_faces.encoding import DigitalSource, xmp_packet


class _Container(NamedTuple):
    """What is written into files of one ending."""

    format: str
    codec: str
    options: dict[str, str]
    holds_xmp: bool = False


_H264: Final = {"crf": "17", "preset": "medium"}
_VP9: Final = {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}

_CONTAINERS: Final = {
    ".mp4": _Container("mp4", "libx264", _H264, holds_xmp=True),
    ".m4v": _Container("mp4", "libx264", _H264, holds_xmp=True),
    ".mov": _Container("mov", "libx264", _H264, holds_xmp=True),
    ".mkv": _Container("matroska", "libx264", _H264),
    ".webm": _Container("webm", "libvpx-vp9", _VP9),
}

_XMP_BOX: Final = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
"""Type of the box that holds XMP (XMP specification, part 3, section 1.2.7)."""


def check_output(path: Path) -> None:
    """Refuse a name that cannot be written to, before any work is done.

    Raises:
        UsageError: Its ending is of no known kind, or its folder cannot be made.
    """
    if path.suffix.lower() not in _CONTAINERS:
        raise UsageError(f"`{path}` is no name for a video; let it end in {', '.join(_CONTAINERS)}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"`{path.parent}` cannot be made ({error.strerror}); choose another place with -o.") from error


@contextmanager
def video_writer(path: Path, reader: VideoReader) -> "Iterator[VideoWriter]":
    """Context manager for a new file that replaces ``path`` when the block ends; if it raises, nothing is left.

    Args:
        path: See `check_output`.
        reader: The video whose timing, colours and sound are kept.

    Raises:
        SoundNotTaken: The container does not take the sound's codec.
        UsageError: The file cannot be written.
        VideoError: FFmpeg refuses its frames or its sound.
    """
    container = _CONTAINERS[path.suffix.lower()]
    try:
        with atomic_replacement(path) as part:
            options = {"movflags": "+faststart"} if container.holds_xmp else {}
            with av.open(str(part), "w", format=container.format, options=options) as output:
                writer = VideoWriter(output, container, reader)
                yield writer
                writer.finish()
            if container.holds_xmp:
                _append_xmp(part)
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written ({error.strerror}); choose another place with -o.") from error
    except FFmpegError as error:
        raise VideoError(
            f"FFmpeg cannot write this video as `{path.suffix}` ({error.strerror}); try NAME.mkv, or convert the video "
            "to a plain MP4 first."
        ) from error


class VideoWriter:
    """Writer of one file; see `video_writer`."""

    def __init__(self, output: OutputContainer, container: _Container, reader: VideoReader) -> None:
        self._output = output
        self._container = container
        self._reader = reader
        output.metadata["comment"] = DigitalSource.COMPOSITE.address
        self._sound = {stream.index: self._copied(stream) for stream in reader.sound}
        self._pictures: VideoStream | None = None
        self._early_sound: list[Packet[Stream]] = []

    def sound(self, packet: "Packet[Stream]") -> None:
        """Copy a packet of sound as it is."""
        if self._pictures is None:  # The header is written with the first packet, and the size is not known yet.
            self._early_sound.append(packet)
            return
        packet.stream = self._sound[packet.stream.index]
        self._output.mux(packet)

    def write(self, frame: ClipFrame, drawn: NDArray[np.uint8] | None = None) -> None:
        """Write the next frame.

        Args:
            frame: The original; says when and for how long it is shown.
            drawn: What is shown instead of it, of the same size; None: the original itself. # [H, W, 3].
        """
        pictures = self._pictures or self._begin(frame)
        context = pictures.codec_context
        pixel_format = context.pix_fmt or "yuv420p"
        if drawn is None and frame.decoded is not None:
            picture = frame.decoded.reformat(context.width, context.height, pixel_format)
        else:
            picture = self._reader.colour.encode(frame.rgb if drawn is None else drawn, pixel_format)
        picture.pts, picture.time_base, picture.duration = frame.pts, self._reader.time_base, frame.duration
        picture.pict_type = 0  # The encoder decides; the original's choice would be taken for an order.
        self._output.mux(pictures.encode(picture))

    def finish(self) -> None:
        """Write what the encoder still holds back."""
        if self._pictures is not None:
            self._output.mux(self._pictures.encode(None))

    def _copied(self, stream: AudioStream) -> AudioStream:
        try:
            return self._output.add_stream_from_template(stream)
        except ValueError as error:
            codec = stream.codec_context.name
            raise SoundNotTaken(
                f"The sound is coded as `{codec}`, which this kind of file cannot hold; name the result "
                "`NAME.mkv`, which holds every codec.",
                codec=codec,
            ) from error

    def _begin(self, frame: ClipFrame) -> VideoStream:
        """Add the stream of pictures, in the size of the first frame, and the sound that waited for it."""
        height, width, _ = frame.rgb.shape
        options = dict(self._container.options)
        stream = self._output.add_stream(self._container.codec, rate=self._reader.rate, options=options)
        assert isinstance(stream, VideoStream)  # noqa: S101 - narrows add_stream's type
        stream.time_base = stream.codec_context.time_base = self._reader.time_base
        stream.width, stream.height = width, height
        # Chroma at half the resolution is what everything plays, and needs even sides.
        stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        if (aspect := self._reader.stream.sample_aspect_ratio) and frame.decoded is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        self._reader.colour.describe(stream)
        self._pictures = stream
        for packet in self._early_sound:
            self.sound(packet)
        self._early_sound.clear()
        return stream


def _append_xmp(path: Path) -> None:
    """Say in XMP how the video came to be, in a box of its own at the end of the file."""
    content = _XMP_BOX + xmp_packet(DigitalSource.COMPOSITE)
    with path.open("ab") as file:
        file.write((8 + len(content)).to_bytes(4, "big") + b"uuid" + content)
