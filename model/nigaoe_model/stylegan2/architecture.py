"""The shape of a StyleGAN2 network as data: what a checkpoint stores and every constructor reads.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020 (config E/F).
"""

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator, model_validator

MIN_RESOLUTION = 16
MAX_RESOLUTION = 1024
MAX_MAPPING_LAYERS = 16


class Architecture(BaseModel):
    """Resolution, widths and the few switches in which published StyleGAN2 networks differ.

    A generator and its discriminator share one architecture: the same channel table serves both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolution: Annotated[int, Field(ge=MIN_RESOLUTION, le=MAX_RESOLUTION)]
    channels: dict[int, Annotated[int, Field(ge=1, le=4096)]]
    z_dim: Annotated[int, Field(ge=1, le=4096)] = 512
    w_dim: Annotated[int, Field(ge=1, le=4096)] = 512
    mapping_layers: Annotated[int, Field(ge=1, le=MAX_MAPPING_LAYERS)] = 8
    mapping_lr_multiplier: Annotated[float, Field(gt=0)] = 0.01
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    conv_clamp: Annotated[float, Field(gt=0)] | None = None
    minibatch_std_group: Annotated[int, Field(ge=1)] = 4
    family: Literal["stylegan2"] = "stylegan2"

    @field_validator("channels", mode="before")
    @classmethod
    def _integer_keys(cls, value: object) -> object:
        return {int(key): width for key, width in value.items()} if isinstance(value, dict) else value

    @field_serializer("channels")
    def _string_keys(self, value: dict[int, int]) -> dict[str, int]:
        return {str(key): value[key] for key in sorted(value)}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution must be a power of two, not {self.resolution}")
        missing = [r for r in self.resolutions if r not in self.channels]
        if missing:
            raise ValueError(f"the channel table has no width for {missing}")
        if len(self.resample_filter) % 2:
            raise ValueError("the resampling filter must have an even number of taps")
        return self

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the output's resolution: one synthesis block each."""
        return tuple(2**k for k in range(2, self.resolution.bit_length()))

    @property
    def num_blocks(self) -> int:
        """Number of synthesis blocks, the 4 x 4 one included."""
        return len(self.resolutions)

    @property
    def num_ws(self) -> int:
        """Number of style inputs: one a convolution, plus the last ToRGB."""
        return 2 * self.num_blocks

    def trainable_resolutions(self, trainable_blocks: int) -> tuple[int, ...]:
        """Resolutions that learn when the last ``trainable_blocks`` do, counted from the output (FreezeG).

        Raises:
            ValueError: ``trainable_blocks`` is not in 0..num_blocks.
        """
        if not 0 <= trainable_blocks <= self.num_blocks:
            raise ValueError(f"trainable_blocks must be 0..{self.num_blocks}, not {trainable_blocks}")
        return self.resolutions[self.num_blocks - trainable_blocks :]

    def layer_range(self, resolution: int) -> range:
        """Indices into ``ws`` that the block of this resolution reads, its ToRGB included."""
        index = self.resolutions.index(resolution)
        first = 0 if index == 0 else 2 * index - 1
        return range(first, 2 * index + 2)


def demo_architecture() -> Architecture:
    """Return the bundled demo pair's architecture: 64 px, about 3.2 million parameters."""
    return Architecture(
        resolution=64, channels={4: 256, 8: 256, 16: 128, 32: 64, 64: 32}, z_dim=256, w_dim=256, mapping_layers=4
    )


def published_architecture(resolution: int, *, channel_base: int = 32768, channel_max: int = 512) -> Architecture:
    """Return the published channel table: ``min(channel_base / R, channel_max)`` at resolution R."""
    resolutions = [2**k for k in range(2, resolution.bit_length())]
    return Architecture(resolution=resolution, channels={r: min(channel_base // r, channel_max) for r in resolutions})
