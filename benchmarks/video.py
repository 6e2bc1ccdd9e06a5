"""What smoothing is worth in a video, and what it costs: `python benchmarks/video.py`.

A person of `g_ori` walks through latent space before a background, seen by a noisy camera. Flicker is the mean change
of the drawing from frame to frame over that of the photo, in the square of the face; what the walk itself changes is
in it, so nought would be wrong. Models are loaded before the clock starts.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, "tests/parts")
from clips import Clip, Picture, background, moving_face, pictures_of, walk, write_clip

from benchmarks.parts.arithmetic import machine
from nigaoe import Nigaoe
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_faces.temporal import flicker

FACE = (slice(64, 192), slice(64, 192))
"""Where the face is in all frames of the clip."""

WAYS: dict[str, dict[str, Any]] = {
    "each frame for itself": {"smooth": False},
    "smoothed": {},
    "smoothed, first frame searched": {"first_frame_search": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--noise", type=float, default=6.0, help="of the camera, in levels of 0..255")
    parser.add_argument("--style", default="anime")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core")
    parser.add_argument("--save", type=Path, help="folder for the videos")
    arguments = parser.parse_args()
    nigaoe = Nigaoe(device=arguments.device, threads=arguments.threads, weights=BUNDLED_WEIGHTS)
    table = Table("", "frames a second", "flicker", title=f"{arguments.frames} frames of 256 px; {machine()}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.save or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        clip = write_clip(folder / "clip.mp4", Clip(noisy_frames(arguments.frames, arguments.noise)))
        warm_up = write_clip(folder / "warm-up.mp4", Clip(noisy_frames(2, 0)))
        nigaoe.convert_video(warm_up, folder / "warm-up-drawn.mp4", style=arguments.style)
        photos = [frame[FACE] for frame in pictures_of(clip)]
        for number, (name, options) in enumerate(WAYS.items()):
            target = folder / f"drawn-{number}.mp4"
            report = nigaoe.convert_video(clip, target, style=arguments.style, **options)
            drawn = [frame[FACE] for frame in pictures_of(target)]
            table.add_row(name, f"{report['frames'] / report['seconds']:.2f}", f"{flicker(photos, drawn):.3f}")
    Console(width=100).print(table)


def noisy_frames(count: int, level: float) -> list[Picture]:
    noise = np.random.default_rng(0)
    frames = moving_face(walk(BUNDLED_WEIGHTS / "g_ori.safetensors", count), background(), pixels=0.25)
    return [np.clip(frame + noise.normal(0, level, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


if __name__ == "__main__":
    main()
