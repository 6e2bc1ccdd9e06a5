"""Images per second of the training loop on a CPU, against its matrix work at the machine's measured ceiling.

    python benchmarks/experiments/training_ceiling.py [--precision bf16] [--threads 2] [--steps 32] [--batch 16]

Needs no data: random pictures of the tiny64 shape. The ceiling is the best of large matrix products in the same type
and with the same threads; the matrix work counts multiplications and additions of convolutions and matrix products,
forward and backward, with the penalties at their lazy share.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nigaoe_faces.align import DEMO
from nigaoe_model.features import EfficientNetFeatures, FrozenFeatures
from nigaoe_model.training.config import TrainingConfig, load_config
from nigaoe_model.training.dataset import IMAGES, DatasetCard, PackedDataset, write_card
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.moment_matching import LEVELS, MomentMatching
from nigaoe_model.training.networks import build_networks
from nigaoe_model.training.precision import DTYPES
from nigaoe_model.training.run_inputs import Starts
from nigaoe_model.training.step import Aids
from nigaoe_model.training.trainer import GeneratorTrainer

COUNT, SIDE = 64, 64


def main() -> None:
    """Print one table."""
    arguments = _arguments()
    torch.set_flush_denormal(True)
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(Path(folder), arguments)
        for _ in range(2):
            trainer.step()
        work = _work(trainer)
        trainer.take_losses()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(arguments.steps):
            trainer.step()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    ceiling = _ceiling(trainer.body.precision.dtype)
    seconds = wall / arguments.steps
    bound = arguments.batch * ceiling / work
    body = trainer.body
    print(f"precision                 {body.precision.dtype}, {arguments.threads} threads, {body.memory_format}")
    print(f"matrix work               {work / 1e9:8.1f} GFLOP a step of {arguments.batch} images")
    print(f"measured ceiling          {ceiling / 1e9:8.1f} GFLOP/s")
    print(f"images a second           {arguments.batch / seconds:8.1f}")
    print(f"at the ceiling            {bound:8.1f} images a second: {arguments.batch / seconds / bound:.0%} reached")
    print(f"images a CPU second       {arguments.batch * arguments.steps / cpu:8.1f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["auto", *DTYPES], default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--layout", choices=["auto", "nchw", "nhwc"], default="auto", help="of activations")
    return parser.parse_args()


def _trainer(folder: Path, arguments: argparse.Namespace) -> GeneratorTrainer:
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)
    (folder / IMAGES).write_bytes(pixels.tobytes())
    write_card(folder, DatasetCard(name="noise", resolution=SIDE, count=COUNT, alignment=DEMO))
    channels_last = {"auto": "auto", "nchw": False, "nhwc": True}[arguments.layout]
    changes = {
        "compute.precision": arguments.precision,
        "compute.channels_last": channels_last,
        "batch": arguments.batch,
        "compute.device": "cpu",
    }
    config = load_config(TrainingConfig, "tiny64", changes)
    if config.architecture is None:
        raise SystemExit("tiny64 names its architecture")
    team = Team(0, 1, torch.device("cpu"))
    networks = build_networks(config.architecture, Starts(), team.device, seed=0)
    moments = MomentMatching(FrozenFeatures(EfficientNetFeatures(strides=LEVELS)))
    trainer = GeneratorTrainer(config, PackedDataset(folder), networks, team, Aids(moments))
    trainer.prepare()
    return trainer


def _work(trainer: GeneratorTrainer) -> float:
    """Return the floating-point operations of a mean step."""
    lazy = trainer.config.regularisation
    trainer.images.prepare(trainer.progress.images_seen)
    real = trainer.body.real_batch()
    drawn = trainer.body.draw_batch(real)
    plain = _counted(lambda: trainer.body.discriminator_step(real, drawn.fake.image.detach()))
    plain += _counted(lambda: trainer.body.generator_step(real, trainer.body.draw_batch(real)))
    r1 = _counted(lambda: trainer.body.r1_step(real))
    path = _counted(trainer.body.path_length_step)
    return plain + r1 / lazy.r1_every + path / lazy.path_length_every


def _counted(call: Callable[[], object]) -> float:
    with _Counter() as counter:
        call()
    return counter.total


class _Counter(TorchDispatchMode):
    """Adds up operations; PyTorch's own FlopCounterMode fails on penalties, which call autograd themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)  # noqa: SLF001 - the registry's own key
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def _ceiling(dtype: torch.dtype, side: int = 1024) -> float:
    """Return the best rate of a large matrix product in operations a second."""
    first, second = (torch.randn(side, side).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        first @ second
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


if __name__ == "__main__":
    main()
