"""Sheets of drawn pictures with fixed latents, so that one glance compares two moments of a run."""

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.dataset import to_bytes

GPU_PIXELS = 2**22
"""Pixels that a GPU draws at once: 256 pictures up to 128 px, 4 at 1024 px."""


def fixed_latents(count: int, z_dim: int, *, seed: int = 0) -> Tensor:
    """Return the z of a sheet. # [count, z_dim]."""
    return torch.randn(count, z_dim, generator=torch.Generator().manual_seed(seed))


def pictures_at_once(device: torch.device, side: int) -> int:
    """Return how many pictures of ``side`` pixels are drawn or evaluated together: as many as keep the device busy."""
    return 16 if device.type == "cpu" else max(4, min(256, GPU_PIXELS // side**2))


def draw_pictures(generator: Generator, z: Tensor, *, truncation_psi: float = 1.0) -> Tensor:
    """Draw z # [N, z_dim] with the fixed noise, a batch at a time. Returns bytes # [N, 3, R, R] on the CPU."""
    device = generator.mapping.w_avg.device
    batch = pictures_at_once(device, generator.architecture.resolution)
    return _drawn(lambda part: generator(part.to(device), truncation_psi=truncation_psi, noise="fixed"), z, batch)


def draw_styles(generator: Generator, ws: Tensor) -> Tensor:
    """Draw w_plus # [N, num_ws, w_dim] in the same way. Returns bytes # [N, 3, R, R] on the CPU."""
    batch = pictures_at_once(ws.device, generator.architecture.resolution)
    return _drawn(generator.draw_image, ws, batch)


@torch.no_grad()
def _drawn(draw: Callable[[Tensor], Tensor], latents: Tensor, batch: int) -> Tensor:
    return torch.cat([to_bytes(draw(part)).cpu() for part in torch.split(latents, batch)])


def sheet_image(pictures: Tensor, *, columns: int = 8, scale: int = 1) -> Image.Image:
    """Lay pictures out as one.

    Args:
        pictures: Bytes. # [N, 3, R, R].
        columns: Pictures a row.
        scale: Enlarge by this factor without smoothing.
    """
    count, _, height, width = pictures.shape
    rows = -(-count // columns)
    sheet = torch.full((rows * columns, 3, height, width), 255, dtype=torch.uint8)
    sheet[:count] = pictures
    sheet = sheet.reshape(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    image = Image.fromarray(sheet.reshape(rows * height, columns * width, 3).contiguous().numpy())
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def save_grid(pictures: Tensor, path: Path, *, columns: int = 8, scale: int = 1) -> None:
    """Write pictures # [N, 3, R, R] (bytes) as one PNG; see :func:`sheet_image`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet_image(pictures, columns=columns, scale=scale).save(path)
