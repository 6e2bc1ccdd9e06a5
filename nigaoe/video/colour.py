"""How the colours of a video's frames are coded, so that RGB goes back into the code that it came from."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

_HIGH_DEFINITION: Final = 720
"""Videos of so many lines that say nothing are taken for BT.709, smaller ones for BT.601, as players do."""

_UNSPECIFIED: Final = 2

_MATRICES: Final = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
"""swscale's matrix for each `matrix_coefficients` of ITU-T H.273."""


@dataclass(frozen=True, slots=True)
class ColourCode:
    """The code of a stream, in the numbers of ITU-T H.273, 2 being unspecified.

    Attributes:
        matrix: From RGB to luma and chroma.
        primaries: Of RGB itself.
        transfer: Characteristic of RGB itself.
        full_range: Whether luma takes all values from 0 to 255.
        height: Of the frames; says what an unspecified matrix means.
    """

    matrix: int
    primaries: int
    transfer: int
    full_range: bool
    height: int

    @classmethod
    def of(cls, stream: VideoStream) -> Self:
        """Read the code of a stream."""
        context = stream.codec_context
        is_full = context.color_range == ColorRange.JPEG or (context.pix_fmt or "").startswith("yuvj")
        # RGB has no matrix; it is written in a code that players understand.
        matrix = context.colorspace or _UNSPECIFIED
        return cls(matrix, context.color_primaries, context.color_trc, is_full, context.height)

    def decode(self, frame: VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
        """Return a frame's pixels in a size, not turned. # [height, width, 3]."""
        rgb = frame.reformat(
            width,
            height,
            "rgb24",
            src_colorspace=self._swscale,
            src_color_range=self._range,
            dst_color_range=ColorRange.JPEG,
        )
        pixels = rgb.to_ndarray()
        return pixels.astype(np.uint8, copy=False)

    def encode(self, rgb: NDArray[np.uint8], pixel_format: str) -> VideoFrame:
        """Return pixels, # [H, W, 3], as a frame."""
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        return frame.reformat(
            format=pixel_format,
            dst_colorspace=self._swscale,
            src_color_range=ColorRange.JPEG,
            dst_color_range=self._range,
        )

    def describe(self, stream: VideoStream) -> None:
        """Write the code into the header of a stream that is to be encoded."""
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = self.matrix, self.primaries, self.transfer
        context.color_range = self._range

    @property
    def _swscale(self) -> Colorspace:
        guessed = Colorspace.ITU709 if self.height >= _HIGH_DEFINITION else Colorspace.ITU601
        return _MATRICES.get(self.matrix, guessed)

    @property
    def _range(self) -> ColorRange:
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG
