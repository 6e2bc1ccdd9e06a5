"""The packed data set: one file of raw pixels that is mapped into memory, and its provenance as JSON.

::

    DATASET/
      images.u8      count x 3 x R x R bytes, RGB, one picture after the other
      items.jsonl    one line a picture: where it came from
      dataset.json   DatasetCard
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from nigaoe_core.errors import DatasetError
from nigaoe_faces.align import AlignmentTemplate

IMAGES, ITEMS, CARD = "images.u8", "items.jsonl", "dataset.json"


class DatasetCard(BaseModel):
    """What a packed data set is and where it came from.

    Attributes:
        name: Name of the data set.
        resolution: R, in pixels.
        count: Number of pictures.
        alignment: Framing of the faces; None for pictures that were framed by others.
        sources: File or folder names, with the number of pictures read from each.
        dropped: Reason to number of pictures that were left out.
        settings: How it was prepared.
        sha256: Digest of ``images.u8``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str
    resolution: Annotated[int, Field(ge=16, le=1024)]
    count: Annotated[int, Field(ge=1)]
    alignment: AlignmentTemplate | None = None
    sources: dict[str, int] = Field(default_factory=dict)
    dropped: dict[str, int] = Field(default_factory=dict)
    settings: dict[str, str] = Field(default_factory=dict)
    sha256: str = ""


class PackedDataset:
    """Pictures by number, read straight from the mapped file.

    Args:
        folder: What ``nigaoe data prepare`` wrote.

    Raises:
        DatasetError: The folder is no data set, or its parts disagree.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.card = _read_card(folder)
        side = self.card.resolution
        expected = self.card.count * 3 * side * side
        path = folder / IMAGES
        if not path.is_file() or path.stat().st_size != expected:
            raise DatasetError(f"`{path}` is missing or truncated; run `nigaoe data prepare` again.")
        self.pixels: NDArray[np.uint8] = np.memmap(path, np.uint8, mode="r", shape=(self.card.count, 3, side, side))

    def __len__(self) -> int:
        return self.card.count

    @property
    def resolution(self) -> int:
        """Side of every picture in pixels."""
        return self.card.resolution

    def pictures(self, indices: NDArray[np.int64]) -> Tensor:
        """Return pictures # [N, 3, R, R] in [-1, 1]."""
        return to_unit_range(torch.from_numpy(np.ascontiguousarray(self.pixels[indices])))


def to_unit_range(pixels: Tensor) -> Tensor:
    """Map bytes 0..255 to [-1, 1] in float32, any shape."""
    return pixels.float().mul_(2.0 / 255.0).sub_(1.0)


def to_bytes(image: Tensor) -> Tensor:
    """Map [-1, 1] to bytes 0..255, any shape; values outside are clipped."""
    return image.float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def write_card(folder: Path, card: DatasetCard) -> None:
    """Write ``dataset.json``: from now on the folder is a data set."""
    (folder / CARD).write_text(json.dumps(card.model_dump(mode="json"), indent=2, sort_keys=True) + "\n")


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_card(folder: Path) -> DatasetCard:
    try:
        return DatasetCard.model_validate_json((folder / CARD).read_text())
    except OSError as error:
        raise DatasetError(f"`{folder}` is no packed data set; make one with `nigaoe data prepare`.") from error
    except ValidationError as error:
        raise DatasetError(f"`{folder / CARD}` is damaged: {error}") from error
