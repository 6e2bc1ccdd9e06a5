"""The StyleGAN2 generator: mapping network z -> w, synthesis network w_plus -> picture.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, figure 2 (b, d) and figure 7 (b):
modulated convolutions with demodulation, noise, and output skips.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.layers import EqualLinear, NoiseMode, StyledConv, ToRGB
from nigaoe_model.stylegan2.ops.folding import pays, upsampling_taps
from nigaoe_model.stylegan2.ops.resample import fir_kernel, upsample2d, upsampling_matrix
from nigaoe_model.stylegan2.tags import tag, tag_parameter

LARGEST_MATRIX = 128
"""Pictures up to this side are enlarged by matrix products on a GPU."""

Noise = NoiseMode | Sequence[Tensor]


@dataclass(frozen=True, slots=True)
class Canvas:
    """Output of a synthesis block and input of the next, from which synthesis can go on.

    Attributes:
        resolution: R of that block.
        features: # [N, C, R, R].
        image: RGB sum of the output skips, raw network range (about [-1, 1]). # [N, 3, R, R].
    """

    resolution: int
    features: Tensor
    image: Tensor


class Mapping(nn.Module):
    """Normalise z, then a few fully connected layers. # [N, z_dim] -> [N, w_dim]."""

    w_avg: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.num_ws = architecture.num_ws
        widths = [architecture.z_dim] + [architecture.w_dim] * architecture.mapping_layers
        self.layers = nn.ModuleList(
            EqualLinear(i, o, lr_multiplier=architecture.mapping_lr_multiplier, activate=True)
            for i, o in pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(architecture.w_dim))

    def forward(self, z: Tensor) -> Tensor:
        """Return w for z. # [N, z_dim] -> [N, w_dim]."""
        x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = layer(x)
        return x

    def truncate(self, ws: Tensor, truncation_psi: float, truncation_cutoff: int | None = None) -> Tensor:
        """Pull styles towards the mean: ``w_avg + psi * (w - w_avg)`` (Karras et al. 2019, appendix B).

        Args:
            ws: # [N, num_ws, w_dim] or # [N, w_dim].
            truncation_psi: 1 changes nothing, 0 gives the mean face.
            truncation_cutoff: Only layers below this index move; None: all.
        """
        if truncation_psi == 1:
            return ws
        truncated = self.w_avg.lerp(ws, truncation_psi)
        if truncation_cutoff is None or ws.ndim == 2:
            return truncated
        return torch.cat([truncated[:, :truncation_cutoff], ws[:, truncation_cutoff:]], dim=1)

    def broadcast(self, w: Tensor) -> Tensor:
        """Repeat one style for every layer. # [N, w_dim] -> [N, num_ws, w_dim]."""
        return w[:, None].expand(-1, self.num_ws, -1)


def mix_styles(ws_first: Tensor, ws_second: Tensor, crossover: int) -> Tensor:
    """Take layers below ``crossover`` from the first, the others from the second (style mixing).

    Args:
        ws_first: # [N, num_ws, w_dim].
        ws_second: # [N, num_ws, w_dim].
        crossover: 0..num_ws.
    """
    return torch.cat([ws_first[:, :crossover], ws_second[:, crossover:]], dim=1)


def mix_at_random(ws_first: Tensor, ws_second: Tensor, probability: float) -> Tensor:
    """Mix the styles of some pictures, each at a layer of its own; the device's global generator decides.

    Args:
        ws_first: # [N, num_ws, w_dim].
        ws_second: Gives the finer layers. # [N, num_ws, w_dim].
        probability: Of a picture to be mixed.
    """
    count, num_ws, _ = ws_first.shape
    device = ws_first.device
    crossovers = torch.randint(1, num_ws, (count, 1, 1), device=device)
    mixed = torch.rand(count, 1, 1, device=device) < probability
    layers = torch.arange(num_ws, device=device)[None, :, None]
    return torch.where(mixed & (layers >= crossovers), ws_second, ws_first)


class SynthesisBlock(nn.Module):
    """All layers of one resolution: (conv0 that doubles the size,) conv1, and ToRGB onto the skip.

    Attributes:
        fold: Whether the filter becomes part of conv0; None: where that pays
        (:mod:`nigaoe_model.stylegan2.ops.folding`).
    """

    resample_kernel: Tensor
    up_taps: Tensor | None
    image_upsampling: Tensor | None

    def __init__(self, resolution: int, architecture: Architecture) -> None:
        super().__init__()
        self.resolution = resolution
        width = architecture.channels[resolution]
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(width, 4, 4))
        else:
            self.conv0 = StyledConv(architecture.channels[resolution // 2], width, resolution, architecture)
        self.conv1 = StyledConv(width, width, resolution, architecture)
        self.torgb = ToRGB(width, architecture)
        kernel = fir_kernel(architecture.resample_filter)
        self.register_buffer("resample_kernel", kernel, persistent=False)
        self.register_buffer("up_taps", upsampling_taps(kernel), persistent=False)
        # Two small matrix products are fewer launches, and no grouped convolution, as long as the matrix is small.
        small = 4 < resolution <= LARGEST_MATRIX
        matrix = upsampling_matrix(resolution // 2, kernel) if small else None
        self.register_buffer("image_upsampling", matrix, persistent=False)
        self.fold: bool | None = None

    @property
    def convs(self) -> tuple[StyledConv, ...]:
        """The layers that take noise, in drawing order."""
        return (self.conv1,) if self.resolution == 4 else (self.conv0, self.conv1)

    def forward(
        self, canvas: Canvas | None, ws: Tensor, noise: Sequence[Tensor | NoiseMode], dtype: torch.dtype
    ) -> Canvas:
        """Go on drawing ``canvas`` (None at 4 x 4) with this block's styles # [N, 2 or 3, w_dim]."""
        styles = iter(ws.unbind(dim=1))
        maps = iter(noise)
        if canvas is None:
            x = self.const.to(dtype).expand(ws.shape[0], -1, -1, -1)  # [N, C, 4, 4]
        else:
            features = canvas.features.to(dtype)
            taps = self.up_taps if (pays(features) if self.fold is None else self.fold) else None
            x = self.conv0(features, next(styles), next(maps), self.resample_kernel, taps)
        x = self.conv1(x, next(styles), next(maps))
        image = self.torgb(x, next(styles)).to(ws.dtype)
        if canvas is not None:
            image = image + self._upsampled(canvas.image)
        return Canvas(self.resolution, x, image)

    def _upsampled(self, image: Tensor) -> Tensor:
        matrix = self.image_upsampling
        if matrix is None or image.device.type != "cuda":
            return upsample2d(image, self.resample_kernel)
        return matrix @ image @ matrix.t()


class Synthesis(nn.Module):
    """Blocks from 4 x 4 to the full resolution. # [N, num_ws, w_dim] -> [N, 3, R, R]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.blocks = nn.ModuleDict({f"b{r}": SynthesisBlock(r, architecture) for r in architecture.resolutions})
        # Blocks of at least `reduced_from` pixels compute in `reduced_dtype`; see `use_reduced_precision`.
        self.reduced_from: int | None = None
        self.reduced_dtype = torch.float32

    def block(self, resolution: int) -> SynthesisBlock:
        """Return the block that draws ``resolution``."""
        block = self.blocks[f"b{resolution}"]
        assert isinstance(block, SynthesisBlock)  # noqa: S101 - narrows ModuleDict's type
        return block

    def use_reduced_precision(self, dtype: torch.dtype, *, from_resolution: int) -> None:
        """Compute blocks of ``from_resolution`` and more in bf16 or fp16; RGB sums stay in float32."""
        self.reduced_from, self.reduced_dtype = from_resolution, dtype

    @property
    def noise_shapes(self) -> list[tuple[int, int]]:
        """Height and width of each noise map in drawing order; num_ws - 1 of them."""
        return [(b.resolution, b.resolution) for b in self._ordered() for _ in b.convs]

    def draw(
        self, ws: Tensor, *, noise: Noise = "random", start: Canvas | None = None, stop: int | None = None
    ) -> list[Canvas]:
        """Draw block after block and keep every intermediate canvas (feature taps).

        Args:
            ws: # [N, num_ws, w_dim].
            noise: A mode, or one map # [N or 1, 1, R, R] a convolution, for all num_ws - 1 of them.
            start: Go on from this canvas; its block and the coarser ones are not drawn again.
            stop: Last resolution to draw; None: the full one.

        Returns:
            One canvas a block drawn, coarse to fine.

        Raises:
            ValueError: A shape or count does not fit the architecture.
        """
        self._check(ws, noise)
        canvases: list[Canvas] = []
        canvas = start
        first_noise = 0
        for block in self._ordered():
            count = len(block.convs)
            maps = [noise] * count if isinstance(noise, str) else list(noise[first_noise : first_noise + count])
            first_noise += count
            if start is not None and block.resolution <= start.resolution:
                continue
            layers = self.architecture.layer_range(block.resolution)
            canvas = block(canvas, ws[:, layers.start : layers.stop], maps, self._dtype(block.resolution, ws.dtype))
            assert canvas is not None  # noqa: S101 - narrows Module.__call__'s type
            canvases.append(canvas)
            if block.resolution == stop:
                break
        return canvases

    def forward(self, ws: Tensor, noise: Noise = "random") -> Tensor:
        """Return raw pictures, about [-1, 1]. # [N, num_ws, w_dim] -> [N, 3, R, R]."""
        return self.draw(ws, noise=noise)[-1].image

    def _ordered(self) -> list[SynthesisBlock]:
        return [self.block(r) for r in self.architecture.resolutions]

    def _dtype(self, resolution: int, default: torch.dtype) -> torch.dtype:
        reduced = self.reduced_from is not None and resolution >= self.reduced_from
        return self.reduced_dtype if reduced else default

    def _check(self, ws: Tensor, noise: Noise) -> None:
        expected = (self.architecture.num_ws, self.architecture.w_dim)
        if ws.ndim != 3 or tuple(ws.shape[1:]) != expected:
            raise ValueError(f"ws must be [N, {expected[0]}, {expected[1]}], not {list(ws.shape)}")
        if not isinstance(noise, str) and len(noise) != self.architecture.num_ws - 1:
            raise ValueError(f"expected {self.architecture.num_ws - 1} noise maps, got {len(noise)}")


class Generator(nn.Module):
    """Mapping and synthesis together; parameters carry the tags by which fine-tuning freezes them.

    Tags: ``mapping``; ``b4`` ... ``b1024`` for everything of a block, its ToRGB included; ``const``; ``torgb``.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.mapping = Mapping(architecture)
        self.synthesis = Synthesis(architecture)
        self._tag_parameters()

    def forward(
        self,
        z: Tensor,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise: Noise = "random",
    ) -> Tensor:
        """Draw pictures from z. # [N, z_dim] -> [N, 3, R, R], raw range (about [-1, 1])."""
        ws = self.mapping.broadcast(self.mapping(z))
        return self.draw_image(self.mapping.truncate(ws, truncation_psi, truncation_cutoff), noise)

    def draw_image(self, ws: Tensor, noise: Noise = "fixed") -> Tensor:
        """Draw pictures from w # [N, w_dim] or w_plus # [N, num_ws, w_dim]. Returns # [N, 3, R, R]."""
        image = self.synthesis(self.mapping.broadcast(ws) if ws.ndim == 2 else ws, noise)
        assert isinstance(image, Tensor)  # noqa: S101 - narrows Module.__call__'s type
        return image

    def _tag_parameters(self) -> None:
        tag(self.mapping, "mapping")
        for resolution in self.architecture.resolutions:
            block = self.synthesis.block(resolution)
            tag(block, f"b{resolution}")
            tag(block.torgb, "torgb")
        tag_parameter(self.synthesis.block(4).const, "const")
