"""Video clips of people who do not exist: a face of `g_ori` moves through latent space before a background."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nigaoe_faces.align import paste_back, square_box_alignment
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.pair import load_generator

Picture = NDArray[np.uint8]

SIDE: Final = 256
FACE: Final = 168
RATE: Final = 25
SAMPLE_RATE: Final = 48_000
MILLISECOND: Final = Fraction(1, 1000)


def walk(g_ori: Path, frames: int, *, seeds: tuple[int, int] = (3, 4), share: float = 0.5) -> list[Picture]:
    """Faces on the way from one latent to another: `share` of the way in `frames` steps. Each # [R, R, 3]."""
    generator = load_generator(g_ori).generator
    z = torch.cat([torch.randn(1, generator.architecture.z_dim, generator=_seeded(seed)) for seed in seeds])
    with torch.no_grad():
        start, end = generator.mapping(z)
        ws = torch.stack([torch.lerp(start, end, share * i / max(frames - 1, 1)) for i in range(frames)])
        return [to_rgb(picture) for picture in generator.draw_image(generator.mapping.truncate(ws, 0.7))]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def background(seed: int = 0) -> Picture:
    """Soft random colours. # [SIDE, SIDE, 3]."""
    coarse = np.random.default_rng(seed).integers(30, 220, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def scene(face: Picture, behind: Picture, left: float = 44.0, top: float = 44.0) -> Picture:
    """A face before a background, at a place that need not be whole pixels."""
    large = np.asarray(Image.fromarray(face).resize((FACE, FACE), Image.Resampling.LANCZOS))
    # The alignment of a paste leads from the photo to the picture.
    return paste_back(behind, large, square_box_alignment((left, top, left + FACE, top + FACE), FACE), feather=0.12)


def moving_face(faces: Sequence[Picture], behind: Picture, pixels: float = 0.5) -> list[Picture]:
    """A clip's frames: the face changes and drifts to the right, so many pixels a frame."""
    return [scene(face, behind, left=40 + pixels * i) for i, face in enumerate(faces)]


@dataclass(frozen=True)
class Sound:
    """A sine tone, and the codec in which it is written."""

    codec: str = "aac"
    hertz: float = 440.0
    seconds: float = 1.0


@dataclass(frozen=True)
class Clip:
    """What is written into a file.

    Attributes:
        frames: Each # [H, W, 3].
        times: When each is shown, in milliseconds; None: 25 a second.
        rotation: Degrees by which a player turns the pictures counterclockwise.
        sound: None: it is silent.
        pixel_format: How pixels are stored.
    """

    frames: Sequence[Picture]
    times: Sequence[int] | None = None
    rotation: int = 0
    sound: Sound | None = field(default_factory=Sound)
    pixel_format: str = "yuv420p"


def write_clip(path: Path, clip: Clip) -> Path:
    """Write a clip in the format that its name says, nearly without loss."""
    with av.open(str(path), "w") as file:
        pictures = file.add_stream("libx264", rate=RATE, options={"crf": "6", "preset": "veryfast"})
        pictures.height, pictures.width = clip.frames[0].shape[:2]
        pictures.pix_fmt = clip.pixel_format
        pictures.time_base = pictures.codec_context.time_base = MILLISECOND
        if clip.rotation:
            pictures.set_display_rotation(clip.rotation)
        sound = file.add_stream(clip.sound.codec, rate=SAMPLE_RATE) if clip.sound else None
        times = clip.times or [1000 * i // RATE for i in range(len(clip.frames))]
        for pixels, time in zip(clip.frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))
            frame.pts, frame.time_base = time, MILLISECOND
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode(None))
        if sound is not None and clip.sound is not None:
            for frame in _tone(clip.sound):
                file.mux(sound.encode(frame))
            file.mux(sound.encode(None))
    return path


def _tone(sound: Sound) -> list[av.AudioFrame]:
    samples = np.sin(2 * np.pi * sound.hertz * np.arange(round(sound.seconds * SAMPLE_RATE)) / SAMPLE_RATE)
    frames = []
    for start in range(0, len(samples), 1024):
        part = (samples[start : start + 1024] * 0.3).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([part, part]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        frames.append(frame)
    return frames


def pictures_of(path: Path) -> list[Picture]:
    """Frames of a file as a player shows them."""
    with av.open(str(path)) as file:
        return [np.rot90(f.to_ndarray(format="rgb24"), round(f.rotation / 90) % 4) for f in file.decode(video=0)]


def times_of(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as file:
        return [frame.pts * frame.time_base for frame in file.decode(video=0) if frame.pts is not None]


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    """Time and content of each packet of sound."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(audio=0) if packet.size]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets if packet.pts is not None]
