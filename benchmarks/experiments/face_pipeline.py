"""What it costs to read a photo, find its face, cut it out and paste back.

`python benchmarks/experiments/face_pipeline.py`

The photos are the astronaut sample enlarged, so their face is as large as in a portrait. Medians of several runs; the
CPU time beside the wall time tells a busy machine from a slow program.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pillow_heif import from_pillow
from rich.console import Console
from rich.table import Table

from nigaoe_faces.align import DEMO, align_face, align_landmarks, paste_back
from nigaoe_faces.detect import FaceDetector, largest_face
from nigaoe_faces.encoding import encode_png
from nigaoe_faces.images import read_photo

SAMPLE = Path(__file__).parents[2] / "samples" / "astronaut.jpg"
SIZES = {"12 MP": (4000, 3000), "2 MP": (1633, 1225), "512 px": (512, 512)}

Step = tuple[str, Callable[[], object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table = Table(
        "photo", "step", "wall ms", "CPU ms", title=f"Faces, {arguments.threads} threads, {arguments.runs} runs"
    )
    detector = FaceDetector()
    for name, size in SIZES.items():
        for step, work in steps(detector, size):
            wall, cpu = measure(work, arguments.runs)
            table.add_row(name, step, f"{wall:.0f}", f"{cpu:.0f}")
        table.add_section()
    Console().print(table)


def steps(detector: FaceDetector, size: tuple[int, int]) -> Iterator[Step]:
    """Yield what happens to a photo of this size, in order."""
    with Image.open(SAMPLE) as sample:
        image = sample.resize(size, Image.Resampling.BICUBIC)
    photo = np.array(image)
    for name, data in files(image).items():
        yield f"read {name} ({len(data) / 1e6:.1f} MB)", partial(read_photo, data)
    yield "find the face", partial(detector.detect, photo)
    yield "find nobody", partial(detector.detect, np.full_like(photo, 127))
    landmarks = largest_face(detector.detect(photo)).landmarks
    for resolution in (64, 256, 1024):
        yield f"align to {resolution} px", partial(align_face, photo, landmarks, DEMO, resolution)
    yield "paste 256 px back", partial(paste, photo, landmarks)
    yield "write PNG of 256 px", partial(encode_png, align_face(photo, landmarks, DEMO, 256)[0])


def files(image: Image.Image) -> dict[str, bytes]:
    jpeg, heic = BytesIO(), BytesIO()
    image.save(jpeg, "JPEG", quality=90)
    from_pillow(image).save(heic, quality=60)
    return {"JPEG": jpeg.getvalue(), "HEIC": heic.getvalue()}


def paste(photo: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.uint8]:
    return paste_back(photo, np.full((256, 256, 3), 200, np.uint8), align_landmarks(landmarks, DEMO, 64))


def measure(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """Return median wall and CPU time in milliseconds, after one run to warm up."""
    work()
    walls, cpus = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls) * 1000, statistics.median(cpus) * 1000


if __name__ == "__main__":
    main()
