"""Images per second of a whole training step, eager and recorded, with each switch; and what the rest of the time is.

    python benchmarks/training.py                                          # on a GPU: about a minute, then a profile
    python benchmarks/training.py --device cpu --batch 8 --steps 4 --rows "64 px, recorded" --seconds 20

Needs no data: random pictures, tiny64's networks (and at 128 px one block of 32 channels more), with ADA at p = 0.2,
feature moments, reconstruction, and both penalties at their lazy share: steps are counted in whole rounds of sixteen.
Rows come in the order of what must be known first; a row that fails prints its reason, and none begins after
``--seconds``. A row says "given up" where a recording failed and steps were made eagerly.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from nigaoe_faces.align import DEMO
from nigaoe_model.features import EfficientNetFeatures, FrozenFeatures
from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import start_encoder
from nigaoe_model.stylegan2.latent_statistics import measure_latents
from nigaoe_model.training.config import TrainingConfig, load_config
from nigaoe_model.training.dataset import IMAGES, DatasetCard, PackedDataset, write_card
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.moment_matching import LEVELS, MomentMatching
from nigaoe_model.training.networks import build_networks
from nigaoe_model.training.run_inputs import Starts
from nigaoe_model.training.step import Aids
from nigaoe_model.training.trainer import GeneratorTrainer

COUNT = 2048
ROUND = 16
"""Steps between two penalties of a kind."""

SHOWN_KERNELS = 15


@dataclass(frozen=True, slots=True)
class Row:
    """One way to make a step."""

    name: str
    resolution: int = 64
    batch: int = 128
    precision: str = "bf16"
    recorded: bool = True
    augmented: bool = True
    fold: bool | None = None
    cudnn_benchmark: bool = False
    aids: bool = True


ROWS = (
    Row("64 px, eager, fp32", batch=64, precision="fp32", recorded=False),
    Row("64 px, recorded, fp32", batch=64, precision="fp32"),
    Row("64 px, recorded", batch=128),
    Row("128 px, recorded", resolution=128, batch=128),
    Row("64 px, recorded, filters not folded", fold=False),
    Row("64 px, recorded, fp32, batch 128", precision="fp32"),
    Row("64 px, recorded, fp32, filters folded", precision="fp32", fold=True),
    Row("64 px, recorded, cuDNN chooses by timing", cudnn_benchmark=True),
    Row("64 px, recorded, p = 0", augmented=False),
    Row("64 px, recorded, batch 256", batch=256),
    Row("64 px, recorded, adversary alone", aids=False),
    Row("128 px, recorded, batch 64", resolution=128, batch=64),
    Row("128 px, recorded, fp32", resolution=128, precision="fp32"),
    Row("128 px, eager", resolution=128, recorded=False),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a row took: milliseconds a step, images a second, GiB of the device's memory, and whether it recorded."""

    milliseconds: float
    images: float
    gigabytes: float
    given_up: bool


def main() -> None:
    arguments = _arguments()
    torch.set_flush_denormal(True)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    _print_machine(device)
    results: list[tuple[Row, Result]] = []
    began = time.perf_counter()
    print("| step | batch | ms a step | images a second | GiB |\n|---|---|---|---|---|")
    for row in _chosen(arguments, device):
        if time.perf_counter() - began > arguments.seconds:
            print(f"| {row.name} | {row.batch} | left out after {arguments.seconds} s | | |")
            continue
        result = _tried(row, device, arguments.steps)
        if result is not None:
            results.append((row, result))
    if results and not arguments.no_profile:
        fastest = max((found for found in results if found[0].resolution == 64), key=_pace, default=results[0])
        _profile(fastest[0], device)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="of a CPU")
    parser.add_argument("--steps", type=int, default=2 * ROUND, help="timed steps of each row")
    parser.add_argument("--batch", type=int, help="instead of the rows' own")
    parser.add_argument("--seconds", type=float, default=60, help="after which no row begins")
    parser.add_argument("--rows", help="only rows whose name contains this")
    parser.add_argument("--no-profile", action="store_true")
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    for row in ROWS:
        if arguments.rows and arguments.rows not in row.name:
            continue
        present = row if arguments.batch is None else replace(row, batch=arguments.batch)
        # A CPU replays nothing, and two of three multiply no bf16.
        yield present if device.type == "cuda" else replace(present, recorded=False, precision="auto")


def _tried(row: Row, device: torch.device, steps: int) -> Result | None:
    try:
        result = _measured(row, device, steps)
    except Exception as error:  # noqa: BLE001 - the other rows shall be known all the same
        print(
            f"| {row.name} | {row.batch} | {type(error).__name__}: {str(error).splitlines()[0][:120]} | | |", flush=True
        )
        return None
    note = " (given up: eager)" if result.given_up else ""
    print(
        f"| {row.name}{note} | {row.batch} | {result.milliseconds:.1f} | {result.images:,.0f} "
        f"| {result.gigabytes:.1f} |",
        flush=True,
    )
    return result


def _measured(row: Row, device: torch.device, steps: int) -> Result:
    with _trainer(row, device) as trainer:
        for _ in range(3):  # both kinds of steps are met, and recorded
            trainer.step()
        trainer.progress.steps = ROUND  # a whole round begins
        _wait(trainer)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        start = time.perf_counter()
        for _ in range(steps):
            trainer.step()
        losses = _wait(trainer)
        seconds = (time.perf_counter() - start) / steps
        if not all(np.isfinite(value) for value in losses.values()):
            raise ArithmeticError(f"losses are not finite: {losses}")
        memory = torch.cuda.max_memory_reserved(device) / 2**30 if device.type == "cuda" else 0.0
        return Result(seconds * 1e3, row.batch / seconds, memory, row.recorded and not trainer.recordings.records)


def _wait(trainer: GeneratorTrainer) -> dict[str, float]:
    return trainer.take_losses()


@contextmanager
def _trainer(row: Row, device: torch.device) -> Iterator[GeneratorTrainer]:
    torch.backends.cudnn.benchmark = row.cudnn_benchmark
    with tempfile.TemporaryDirectory() as folder:
        trainer = _built(row, device, Path(folder))
        yield trainer
        del trainer
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _built(row: Row, device: torch.device, folder: Path) -> GeneratorTrainer:
    side = row.resolution
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 3, side, side), dtype=np.uint8)
    (folder / IMAGES).write_bytes(pixels.tobytes())
    write_card(folder, DatasetCard(name="noise", resolution=side, count=COUNT, alignment=DEMO))
    config = load_config(TrainingConfig, "tiny64", _changes(row, device))
    assert config.architecture is not None, "tiny64 names its architecture"
    team = Team(0, 1, device)
    networks = build_networks(config.architecture, Starts(), device, seed=0)
    if not row.aids:
        trainer = GeneratorTrainer(config, PackedDataset(folder), networks, team)
    else:
        features = FrozenFeatures(EfficientNetFeatures(strides=LEVELS).to(device))
        moments = MomentMatching(features).to(device)
        encoder = start_encoder(encoder_architecture(config.architecture), measure_latents(networks.generator), None)
        trainer = GeneratorTrainer(
            config, PackedDataset(folder), networks, team, Aids(moments, encoder=encoder.to(device))
        )
        trainer.prepare()
    for module in (*networks.generator.modules(), *networks.discriminator.modules()):
        if hasattr(module, "fold"):
            module.fold = row.fold
    return trainer


def _changes(row: Row, device: torch.device) -> dict[str, object]:
    changes: dict[str, object] = {
        "batch": row.batch,
        "compute.device": device.type,
        "compute.precision": row.precision,
        "compute.step_graphs": row.recorded,
        "augmentation.kind": "ada",
        "augmentation.initial_p": 0.2 if row.augmented else 0.0,
        "augmentation.ada_speed_images": 10**9,  # p stays where it is
        "moments.samples": 256,
        "reconstruction.weight": 3.0,
    }
    if row.resolution == 128:
        changes["architecture.resolution"] = 128
        changes["architecture.channels"] = {4: 256, 8: 256, 16: 128, 32: 64, 64: 32, 128: 32}
    return changes


def _pace(found: tuple[Row, Result]) -> float:
    return found[1].images


def _profile(row: Row, device: torch.device) -> None:
    """Say which kernels one round of steps consists of."""
    on_gpu = device.type == "cuda"
    with _trainer(row, device) as trainer:
        for _ in range(3):
            trainer.step()
        steps = ROUND if on_gpu else 2
        trainer.progress.steps = ROUND
        _wait(trainer)
        start = time.perf_counter()
        with profile(activities=[ProfilerActivity.CUDA] if on_gpu else [ProfilerActivity.CPU]) as profiler:
            for _ in range(steps):
                trainer.step()
            _wait(trainer)
        wall = time.perf_counter() - start
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda event: getattr(event, own), reverse=True)
    total = sum(getattr(event, own) for event in events)
    busy = f", busy for {total / 1e4 / wall:.0f} % of the time (with the profiler's own)" if on_gpu else ""
    print(f"\n{row.name}, batch {row.batch}: {total / 1e3 / steps:.2f} ms of kernels a step{busy}\n")
    print("| kernel | ms a step | share | calls a step |\n|---|---|---|---|")
    for event in events[:SHOWN_KERNELS]:
        spent = getattr(event, own)
        name = event.key.replace("|", "/")[:90]
        print(f"| `{name}` | {spent / 1e3 / steps:.3f} | {spent / total:.1%} | {event.count / steps:.1f} |")


def _print_machine(device: torch.device) -> None:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}; PyTorch {torch.__version__}\n")


if __name__ == "__main__":
    main()
