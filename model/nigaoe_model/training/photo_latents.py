"""Latents of photos: where conversions will ask a style to draw, shown to it while it learns.

A fine-tune that draws z alone learns W. The latent that reverse generation finds for a photo lies beside W, each layer
with a style of its own, and a style that never saw such latents loses eyes and mouths at them. This file keeps latents
that were found for photos, and deals them to the fine-tune. A latent can rebuild a face: the file is personal data.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint, ParentMismatch, TrainingError
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.stylegan2.checkpoint import Checkpoint
from nigaoe_model.stylegan2.generator import mix_at_random
from nigaoe_model.tensor_file import opened, write_tensors
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.face_search import WIDTH, search_latents

METADATA_KEY = "nigaoe-photo-latents"


class PhotoLatentsCard(BaseModel):
    """What a file of photos' latents says about itself.

    Attributes:
        generator_sha256: Digest of the ``g_ori`` in whose latent space they lie.
        dataset: Name of the photos' data set.
        steps: Steps of each search.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    generator_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    dataset: str
    steps: int


@dataclass(frozen=True, slots=True, eq=False)
class PhotoLatents:
    """Latents of photos, and the mean face that they are truncated towards.

    Attributes:
        card: Where they come from.
        w_plus: # [B, num_ws, w_dim].
        mean: # [num_ws, w_dim].
    """

    card: PhotoLatentsCard
    w_plus: Tensor
    mean: Tensor

    def __len__(self) -> int:
        return len(self.w_plus)

    def deal(self, count: int, *, style_mixing: float, least_psi: float) -> Tensor:
        """Return latents as a conversion may meet them; the device's global generator decides which.

        Args:
            count: Number of latents.
            style_mixing: Probability that a latent takes its finer layers from another photo.
            least_psi: Latents are truncated by a psi between this and 1.

        Returns:
            # [count, num_ws, w_dim].
        """
        device = self.w_plus.device
        first, second = (self.w_plus[torch.randint(len(self), (count,), device=device)] for _ in range(2))
        ws = mix_at_random(first, second, style_mixing)
        psi = least_psi + (1.0 - least_psi) * torch.rand(count, 1, 1, device=device)
        return self.mean + (ws - self.mean) * psi

    def fixed(self, count: int, *, least_psi: float) -> Tensor:
        """Return unmixed latents that are the same each time, on any device. # [count, num_ws, w_dim]."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            dealt = self.to(torch.device("cpu")).deal(count, style_mixing=0.0, least_psi=least_psi)
        return dealt.to(self.w_plus.device)

    def to(self, device: torch.device) -> "PhotoLatents":
        """Return the same latents on a device."""
        return PhotoLatents(self.card, self.w_plus.to(device), self.mean.to(device))

    def save(self, path: Path) -> None:
        """Write the latents in half precision."""
        tensors = {"w_plus": self.w_plus.half().cpu().contiguous(), "mean": self.mean.float().cpu().contiguous()}
        write_tensors(path, tensors, {METADATA_KEY: self.card.model_dump_json()})

    @classmethod
    def load(cls, path: Path, parent: Checkpoint) -> "PhotoLatents":
        """Read latents that were found in ``parent``.

        Raises:
            BrokenCheckpoint: The file is damaged or holds something else.
            ParentMismatch: They were found in another generator.
        """
        with opened(path) as file:
            try:
                card = PhotoLatentsCard.model_validate(json.loads((file.metadata() or {})[METADATA_KEY]))
                latents = cls(card, file.get_tensor("w_plus").float(), file.get_tensor("mean"))
            except (KeyError, ValueError, ValidationError) as error:
                raise BrokenCheckpoint(
                    f"`{path.name}` holds no latents of photos; make one with `nigaoe data latents`."
                ) from error
        if card.generator_sha256 != parent.digest:
            raise ParentMismatch(
                f"`{path.name}` was searched in another generator than `{parent.card.name}`; search the photos again "
                "with `nigaoe data latents`."
            )
        return latents


def find_photo_latents(
    loaded: LoadedGenerator,
    dataset: PackedDataset,
    settings: InversionSettings,
    *,
    count: int,
    seed: int = 0,
    width: int = WIDTH,
    report: Callable[[int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> PhotoLatents:
    """Search the latents of ``count`` photos, half of them mirrored.

    Args:
        loaded: ``g_ori``, perhaps with its encoder.
        dataset: Photos, framed as the generator's pictures are.
        settings: Of every search.
        count: Photos, chosen at random; at most all.
        seed: Of the choice.
        width: Photos that are searched as one batch.
        report: Called with the number of photos that are done.
        stop: Asked before each photo; once it says so no further one is begun, and what was found is returned.

    Raises:
        InversionError: A search ended without a result.
        TrainingError: It stopped before the first photo.
    """
    random = np.random.default_rng(seed)
    chosen = random.choice(len(dataset), min(count, len(dataset)), replace=False)
    mirrored = random.random(len(chosen)) < 0.5
    photos = (dataset.pictures(np.array([index]))[0] for index in takewhile(lambda _: not stop(), chosen))
    shown = (photo.flip(2) if mirror else photo for photo, mirror in zip(photos, mirrored, strict=False))
    if stop():
        raise TrainingError("The search of photos' latents was stopped before its first photo; give it more time.")
    found = search_latents(loaded, shown, settings, report, width=width)
    card = PhotoLatentsCard(generator_sha256=loaded.digest, dataset=dataset.card.name, steps=settings.steps)
    return PhotoLatents(card, found, loaded.statistics.mean.float().cpu())
