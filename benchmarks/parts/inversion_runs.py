"""Runs of the slot engine over held-out photos, as curves over steps and processor seconds."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.registry import Registry
from nigaoe_model.inversion.request import InversionRequest
from nigaoe_model.inversion.settings import InversionSettings, Plateau
from nigaoe_model.portrait.convert import inversion_engine
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.training.dataset import PackedDataset, to_unit_range

WIDTH = 8


@dataclass(frozen=True)
class Run:
    """What one setting reached on some faces.

    Attributes:
        name: Setting and kind of face.
        best: Best distance until each step. # [faces, steps].
        w_plus: What was found. # [faces, num_ws, w_dim].
        seconds: CPU seconds of one face's step; admission (the encoder's look, too) is part of it.
    """

    name: str
    best: Tensor
    w_plus: Tensor
    seconds: float

    @property
    def median(self) -> Tensor:
        """Median distance over the faces. # [steps]."""
        return self.best.median(dim=0).values

    @property
    def ends(self) -> Tensor:
        """Distance of each face's result. # [faces]."""
        return self.best[:, -1]

    @property
    def shares(self) -> Tensor:
        """What is left of each face's distance. # [faces]."""
        return self.ends / self.best[:, 0]

    @property
    def total(self) -> float:
        """CPU seconds a face."""
        return self.best.shape[1] * self.seconds

    def at(self, step: float) -> str:
        """Median distance of the best iterate among the first ``step`` drawn."""
        index = int(step) - 1
        return f"{self.best[:, index].median():.3f}" if 0 <= index < self.best.shape[1] else ""

    def stopped(self, plateau: Plateau) -> tuple[float, float]:
        """Return mean steps and median distance, had each search stopped on its plateau."""
        earlier, later = self.best[:, : -plateau.window], self.best[:, plateau.window :]
        flat = earlier - later < plateau.epsilon * earlier  # [faces, steps - window]
        last = torch.where(flat.any(dim=1), flat.int().argmax(dim=1) + plateau.window, self.best.shape[1] - 1)
        return float((last + 1).float().mean()), float(self.best.gather(1, last[:, None]).median())

    def seconds_to(self, distances: Tensor) -> Tensor:
        """Return when each face was as near as asked, infinite where it never was. # [faces] -> [faces]."""
        near = self.best <= distances[:, None]
        steps = near.float().argmax(dim=1) + 1
        return torch.where(near.any(dim=1), steps * self.seconds, torch.inf)


def run(name: str, loaded: LoadedGenerator, faces: Tensor, settings: InversionSettings) -> Run:
    """Invert faces # [N, 3, R, R] in [-1, 1] without stopping early; the table will call it ``name``."""
    settings = settings.model_copy(update={"plateau": None})  # The whole curve is wanted.
    requests = [InversionRequest(face, settings, seed=seed) for seed, face in enumerate(faces)]
    engine = inversion_engine(loaded, WIDTH)
    started = time.process_time()
    finished = sorted(engine.run(requests), key=lambda one: one.ticket.number)  # In the order of the faces.
    seconds = (time.process_time() - started) / (settings.steps * len(faces))
    results = [one.unwrap() for one in finished]
    best = torch.tensor([result.history for result in results]).cummin(dim=1).values
    return Run(name, best, torch.stack([result.w_plus for result in results]), seconds)


def held_out(folder: Path, count: int) -> Tensor:
    """Photos that no training saw, packed by `nigaoe data prepare`. # [count, 3, R, R] in [-1, 1]."""
    return to_unit_range(torch.from_numpy(np.array(PackedDataset(folder).pixels[:count])))


def add_subjects(parser: argparse.ArgumentParser) -> None:
    """Let the command line say which photos are searched, and in which generator."""
    parser.add_argument("--heldout", type=Path, default=Path("data/heldout"), help="packed by `nigaoe data prepare`")
    parser.add_argument("--count", type=int, default=64, help="photos")
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS / "g_ori.safetensors")
    parser.add_argument("--encoder", type=Path, default=bundled_encoder(), help="by default the bundled one, if any")


def bundled_encoder() -> Path | None:
    """Return the encoder of the bundled generator, where there is one."""
    return Registry.load(BUNDLED_WEIGHTS).generator("g_ori").encoder
