"""Where the time of `nigaoe convert` goes: `python benchmarks/convert_stages.py`, from the file of a photo to its PNG.

Models are loaded and every stage has run once before the clock starts. Stages are timed one by one; beside their sum
stands the wall time of the command's own run over the same photo, which is the same work in one piece.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.parts.arithmetic import machine
from benchmarks.parts.inversion_runs import bundled_encoder
from nigaoe import Nigaoe
from nigaoe.outputs import Extras, OutputFolder
from nigaoe.photos import read_pixels
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.jobs import Preset
from nigaoe_faces.align import align_face
from nigaoe_faces.detect import FaceDetector, choose_face
from nigaoe_faces.encoding import encode_png
from nigaoe_faces.result_encoder import ResultEncoder
from nigaoe_model.device import prepare_device
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import InversionResult
from nigaoe_model.inversion.settings import PRESETS, InversionSettings
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import ConversionOptions, conclude, inversion_engine, inversion_requests, target_of
from nigaoe_model.portrait.drawing import DEFAULT_LOOK, draw_portraits, enlarge
from nigaoe_model.portrait.instant import guess_latents
from nigaoe_model.portrait.pair import Pair, load_generator, load_pair
from nigaoe_model.portrait.upscale import Upscaler

STAGES = ("read", "detect", "align", "start", "search", "draw", "upscale", "encode")


@dataclass
class Clock:
    """Wall and CPU seconds by stage.

    Attributes:
        wall: One list of runs a stage.
        cpu: The same.
    """

    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall.setdefault(name, []).append(time.perf_counter() - wall)
        self.cpu.setdefault(name, []).append(time.process_time() - cpu)


class LoadedConversion:
    """Everything loaded that one conversion needs.

    Args:
        pair: The style.
        settings: Of the search.
    """

    def __init__(self, pair: Pair, settings: InversionSettings) -> None:
        self.pair = pair
        self.options = ConversionOptions(settings=settings, look=DEFAULT_LOOK)
        self.detector = FaceDetector()
        self.engine: SlotEngine = inversion_engine(pair.g_ori, 1)
        self.upscaler = Upscaler()

    def convert(self, photo: Path, clock: Clock) -> None:
        """Take a photo through all stages."""
        card = self.pair.g_ori.card
        with clock.stage("read"):
            pixels = read_pixels(photo)
        with clock.stage("detect"):
            face = choose_face(self.detector.detect(pixels))
        with clock.stage("align"):
            crop, _ = align_face(pixels, face.landmarks, card.alignment, card.architecture.resolution)
        target = target_of(crop, card.architecture.resolution)
        drawn = (
            self._search_and_draw(target, clock) if self.options.is_searched else self._guess_and_draw(target, clock)
        )
        with clock.stage("upscale"):
            picture = enlarge(drawn[None], self.upscaler, self.pair.upscaler)[0].detach()
        with clock.stage("encode"), tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(encode_png(to_rgb(picture)))

    def _guess_and_draw(self, target: Tensor, clock: Clock) -> Tensor:
        with clock.stage("start"):
            latents = guess_latents(self.pair.g_ori, target[None])
        with clock.stage("search"):
            pass
        with clock.stage("draw"):
            return draw_portraits(self.pair, latents, self.options.look, None)[0].drawing

    def _search_and_draw(self, target: Tensor, clock: Clock) -> Tensor:
        request = inversion_requests(self.pair, self.options, target)["g_ori"]
        with clock.stage("start"):
            self.engine.admit(request)
        with clock.stage("search"):
            result = self._search()
        with clock.stage("draw"):
            return conclude(self.pair, self.options, {"g_ori": result}, target, None).portrait.drawing

    def _search(self) -> InversionResult:
        while not (ended := self.engine.step()):
            pass
        return ended[0].unwrap()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, default=Path("samples/astronaut.jpg"))
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS, help="folder with g_ori and the style")
    parser.add_argument("--style", default="anime")
    parser.add_argument("--encoder", type=Path, default=bundled_encoder(), help="by default the bundled one, if any")
    parser.add_argument("--presets", type=Preset, nargs="+", default=list(Preset))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core")
    arguments = parser.parse_args()
    prepare_device("cpu", arguments.threads)
    g_ori = load_generator(arguments.weights / "g_ori.safetensors", encoder=arguments.encoder)
    pair = load_pair(arguments.style, g_ori, arguments.weights / f"{arguments.style}.safetensors")
    # The command takes its weights from the registry: other weights than the bundled ones are timed by stages alone.
    bundled = arguments.weights == BUNDLED_WEIGHTS and arguments.encoder == bundled_encoder()
    columns = ("preset", "", *STAGES, "sum", *(["the command"] if bundled else []))
    title = f"Milliseconds of {arguments.photo.name}, median of {arguments.runs}; {machine()}; {g_ori.digest[:12]}"
    table = Table(*columns, title=title)
    for preset in arguments.presets:
        clock = measured(LoadedConversion(pair, PRESETS[preset]), arguments.photo, arguments.runs)
        command = [run_command(arguments.photo, preset, arguments.style, arguments.runs)] if bundled else []
        table.add_row(preset.value, "wall", *cells(clock.wall), *(f"{seconds * 1e3:.0f}" for seconds in command))
        table.add_row("", "CPU", *cells(clock.cpu))
    Console(width=150).print(table)


def measured(loaded: LoadedConversion, photo: Path, runs: int) -> Clock:
    loaded.convert(photo, Clock())
    clock = Clock()
    for _ in range(runs):
        loaded.convert(photo, clock)
    return clock


def cells(seconds: dict[str, list[float]]) -> list[str]:
    """Medians of the stages, and their sum."""
    medians = [statistics.median(seconds[stage]) for stage in STAGES]
    return [f"{median * 1e3:.0f}" for median in (*medians, sum(medians))]


def run_command(photo: Path, preset: Preset, style: str, runs: int) -> float:
    """Return the median wall seconds of what `nigaoe convert` runs, with its models loaded."""
    nigaoe = Nigaoe(device="cpu", threads=torch.get_num_threads(), weights=BUNDLED_WEIGHTS)

    def once() -> float:
        with tempfile.TemporaryDirectory() as path:
            folder = OutputFolder(Path(path), Extras(), ResultEncoder())
            start = time.perf_counter()
            folder.write(nigaoe.convert(photo, style=style, preset=preset))
            return time.perf_counter() - start

    once()
    return statistics.median(once() for _ in range(runs))


if __name__ == "__main__":
    main()
