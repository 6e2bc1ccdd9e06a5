"""What an encoder learns from: faces that the generator draws, whose latents are known, and photos, whose are not."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.stylegan2.generator import mix_at_random
from nigaoe_model.training.dataset import PackedDataset, to_unit_range
from nigaoe_model.training.encoder.config import OwnFaceSettings
from nigaoe_model.training.image_source import BatchSchedule, ResidentImages, Shares, StreamedImages, image_source


@dataclass(frozen=True, slots=True)
class KnownFaces:
    """Drawn faces with the latents that they were drawn from.

    Attributes:
        w_plus: # [N, num_ws, w_dim].
        image: # [N, 3, R, R] in [-1, 1].
    """

    w_plus: Tensor
    image: Tensor


@torch.no_grad()
def draw_known_faces(
    loaded: LoadedGenerator, count: int, settings: OwnFaceSettings, std: Tensor | None = None
) -> KnownFaces:
    """Draw faces with noise of their own, from W and its neighbourhood; the device's global generator decides which.

    Args:
        loaded: Draws.
        count: Number of faces.
        settings: How far from W their latents may lie.
        std: Of w, on the generator's device, so that nothing is copied there. # [num_ws, w_dim]; None: copy it.
    """
    mapping, architecture = loaded.generator.mapping, loaded.card.architecture
    device = mapping.w_avg.device
    first, second = (
        mapping.broadcast(mapping(torch.randn(count, architecture.z_dim, device=device))) for _ in range(2)
    )
    w_plus = mix_at_random(first, second, settings.style_mixing)
    reach = torch.rand(count, 1, 1, device=device) * settings.jitter  # so that some faces lie in W itself
    w_plus = w_plus + reach * torch.randn_like(w_plus) * (loaded.statistics.std.to(device) if std is None else std)
    return KnownFaces(w_plus, loaded.generator.draw_image(w_plus, "random").clamp(-1, 1))


class Photos:
    """A data set of which the last pictures are kept for examinations.

    Args:
        dataset: Photos as the generator's alignment frames them.
        loaded: The generator.
        held_out: Pictures to keep, at most a tenth of all; 0 where another set is examined.
        seed: Seed of the order in which they are shown.
        variation: How much every other photo is varied, see `varied`.

    Raises:
        TrainingError: The photos have another size or framing than the generator's pictures.
    """

    def __init__(
        self, dataset: PackedDataset, loaded: LoadedGenerator, held_out: int, seed: int, *, variation: float = 0.0
    ) -> None:
        check_framing(dataset, loaded)
        self.variation = variation
        self.dataset = dataset
        self.device = loaded.generator.mapping.w_avg.device
        self.shown = len(dataset) - min(held_out, len(dataset) // 10)
        self._schedule = BatchSchedule(self.shown, seed)
        self._source: ResidentImages | StreamedImages | None = None
        self._count = 0

    def prepare(self, photos_seen: int, count: int) -> None:
        """Bring the next photos of the endless stream to the device; not while a step is recorded."""
        if self._source is None or count != self._count:
            self._source, self._count = image_source(self.dataset, Shares(self._schedule, count), self.device), count
        self._source.prepare(photos_seen)

    def batch(self) -> Tensor:
        """Return the prepared photos, half of them mirrored. # [count, 3, R, R] in [-1, 1].

        Raises:
            TrainingError: None were prepared.
        """
        if self._source is None:
            raise TrainingError("Photos must be prepared before they are shown.")
        photos = to_unit_range(self._source.batch())
        photos = torch.where(self._half_of(photos), photos.flip(3), photos)
        if not self.variation:
            return photos
        return torch.where(self._half_of(photos), varied(photos, self.variation), photos)

    @staticmethod
    def _half_of(photos: Tensor) -> Tensor:
        return torch.rand(len(photos), 1, 1, 1, device=photos.device) < 0.5


def varied(photos: Tensor, amount: float) -> Tensor:
    """Zoom and shift photos a little, and change their light: the result is still a photo that can be redrawn.

    Args:
        photos: # [N, 3, R, R] in [-1, 1].
        amount: 0 changes nothing; at 1 a photo is zoomed by up to 10 %, moved by up to 5 % of its side, each colour
            channel's contrast changed by up to 20 % and its brightness by up to 10 % of the range.

    Returns:
        # [N, 3, R, R] in [-1, 1]; the device's global generator decides.
    """
    zoom, shift, contrast, brightness = (
        amount * reach * (2 * torch.rand(len(photos), size, device=photos.device) - 1)
        for reach, size in ((0.1, 1), (0.1, 2), (0.2, 3), (0.2, 3))
    )
    turn = torch.eye(2, device=photos.device).expand(len(photos), 2, 2) * (1 + zoom)[:, :, None]
    grid = F.affine_grid(torch.cat([turn, shift[:, :, None]], dim=2), list(photos.shape), align_corners=False)
    moved = F.grid_sample(photos, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return (moved * (1 + contrast)[:, :, None, None] + brightness[:, :, None, None]).clamp(-1, 1)


def check_framing(dataset: PackedDataset, loaded: LoadedGenerator) -> None:
    """Make sure that photos are framed as the generator's pictures are.

    Raises:
        TrainingError: They have another size or framing.
    """
    resolution, alignment = loaded.card.architecture.resolution, loaded.card.alignment
    if dataset.resolution != resolution:
        raise TrainingError(
            f"`{dataset.folder}` has {dataset.resolution} px and the generator {resolution} px; prepare the photos "
            f"with --resolution {resolution}."
        )
    if dataset.card.alignment not in (None, alignment):
        raise TrainingError(
            f"`{dataset.folder}` is framed otherwise than `{loaded.card.name}` was trained; prepare the photos with "
            "its alignment."
        )
