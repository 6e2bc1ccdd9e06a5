"""The two data sets that a method learns from, and the photos that it never sees."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.image_source import BatchSchedule, ResidentImages, Shares, StreamedImages, image_source

LARGEST_HELD_OUT = 0.1
"""Share of the photos that is kept for scores at most."""


@dataclass(frozen=True, slots=True)
class Domains:
    """Photos and anime faces of one size.

    Attributes:
        photos: Of which the first `shown` are learned from.
        anime: All of which are learned from.
        held_out: Of which the last `kept` are only ever translated for scores and sheets.
        shown: Number of photos.
        kept: Number of photos.
    """

    photos: PackedDataset
    anime: PackedDataset
    held_out: PackedDataset
    shown: int
    kept: int

    @classmethod
    def of(cls, photos: PackedDataset, anime: PackedDataset, held_out: PackedDataset | int) -> Self:
        """Bring data sets together.

        Args:
            photos: Domain A.
            anime: Domain B.
            held_out: Photos for scores and sheets, or how many of ``photos`` are kept for them.

        Raises:
            TrainingError: The pictures differ in size, or there are too few photos to keep one back.
        """
        if isinstance(held_out, PackedDataset):
            domains = cls(photos, anime, held_out, len(photos), len(held_out))
        else:
            kept = min(held_out, int(len(photos) * LARGEST_HELD_OUT))
            if not kept:
                raise TrainingError(f"`{photos.folder}` has too few photos to keep one for scores; name --held-out.")
            domains = cls(photos, anime, photos, len(photos) - kept, kept)
        for dataset in (anime, domains.held_out):
            if dataset.resolution != photos.resolution:
                raise TrainingError(
                    f"`{dataset.folder}` has {dataset.resolution} px and `{photos.folder}` {photos.resolution} px; "
                    "prepare both with the same --resolution."
                )
        return domains

    @classmethod
    def opened(cls, photos: Path, anime: Path, held_out: Path | None, count: int) -> Self:
        """Open the folders that ``nigaoe data prepare`` wrote; ``count`` photos are kept where no others are named.

        Raises:
            DatasetError: A folder is no data set.
            TrainingError: The data sets do not go together.
        """
        kept = PackedDataset(held_out) if held_out is not None else count
        return cls.of(PackedDataset(photos), PackedDataset(anime), kept)

    @property
    def resolution(self) -> int:
        """Side of every picture in pixels."""
        return self.photos.resolution

    @property
    def alignment(self) -> AlignmentTemplate | None:
        """How the photos are framed."""
        return self.photos.card.alignment

    @property
    def names(self) -> tuple[str, str]:
        """Names of what is learned from."""
        return self.photos.card.name, self.anime.card.name

    def photo_source(self, batch: int, seed: int, device: torch.device) -> ResidentImages | StreamedImages:
        """Return what brings photos to ``device``, ``batch`` a step."""
        schedule = BatchSchedule(self.shown, 2 * seed)
        return image_source(self.photos, Shares(schedule, batch), device)

    def anime_source(self, batch: int, seed: int, device: torch.device) -> ResidentImages | StreamedImages:
        """Return what brings anime faces to ``device``, in an order that has nothing to do with that of the photos."""
        schedule = BatchSchedule(len(self.anime), 2 * seed + 1)
        return image_source(self.anime, Shares(schedule, batch), device)

    def held_out_photos(self, first: int, count: int) -> Tensor:
        """Return photos number ``first`` and following of those kept, again and again. # [count, 3, R, R]."""
        begin = len(self.held_out) - self.kept
        return self.held_out.pictures(begin + np.arange(first, first + count) % self.kept)

    def references(self, first: int, count: int) -> Tensor:
        """Return anime faces of a fixed order of their own. # [count, 3, R, R] in [-1, 1]."""
        return self.anime.pictures(BatchSchedule(len(self.anime), 0).indices(first, count))
