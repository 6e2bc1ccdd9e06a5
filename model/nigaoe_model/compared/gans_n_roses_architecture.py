"""The shape of GANs N' Roses as data: what a checkpoint stores and every constructor reads.

Chong & Forsyth, "GANs N' Roses: Stable, Controllable, Diverse Image to Image Translation", 2021.
"""

from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator, model_validator

from nigaoe_model.stylegan2.architecture import MAX_MAPPING_LAYERS, Architecture, published_architecture

GLOBAL_SIZE = 8
"""Side of the feature map at which a discriminator's global tower ends."""

PUBLISHED_LOCAL_SIZE = 32

MAX_RESIDUAL_BLOCKS = 8

DEVIATION_FEATURES = 128
"""Features of a picture whose deviation over the batch a discriminator judges."""

STYLE_WIDTH = 256
"""Width of the style discriminator."""

STYLE_LAYERS = 4
"""Layers of the style discriminator before the batch deviation joins."""


class GansNRosesArchitecture(BaseModel):
    """Shape of both generators and of their discriminators.

    Attributes:
        size: Side S of pictures in pixels, a power of two.
        num_down: How often the encoder halves a picture; content has S / 2^num_down pixels.
        channels: Width at every resolution from 4 to S; generators and discriminators share it.
        latent_dim: Length of a style code.
        style_dim: Width of the mapping network, and of the style that modulates the decoder.
        mapping_layers: Fully connected layers from a code to a style.
        residual_blocks: Blocks at the content's size, at the encoder's end and at the decoder's start.
        local_size: Side of the feature map at which a discriminator's local tower ends; no generator depends on it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Field(ge=16, le=1024)]
    num_down: Annotated[int, Field(ge=1, le=8)]
    channels: dict[int, Annotated[int, Field(ge=1, le=4096)]]
    latent_dim: Annotated[int, Field(ge=1, le=4096)] = 8
    style_dim: Annotated[int, Field(ge=1, le=4096)] = 512
    mapping_layers: Annotated[int, Field(ge=1, le=MAX_MAPPING_LAYERS)] = 5
    residual_blocks: Annotated[int, Field(ge=1, le=MAX_RESIDUAL_BLOCKS)] = 1
    local_size: Annotated[int, Field(ge=4)] = PUBLISHED_LOCAL_SIZE

    @field_validator("channels", mode="before")
    @classmethod
    def _integer_keys(cls, value: object) -> object:
        return {int(key): width for key, width in value.items()} if isinstance(value, dict) else value

    @field_serializer("channels")
    def _string_keys(self, value: dict[int, int]) -> dict[str, int]:
        return {str(key): value[key] for key in sorted(value)}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _ = self.stylegan2  # refuses a size that is no power of two, and gaps in the channel table
        if self.content_size < 4:
            raise ValueError(f"a picture of {self.size} pixels cannot be halved {self.num_down} times: 4 are left")
        if self.local_size not in self.channels or self.local_size > self.size:
            raise ValueError(f"local_size must be a power of two from 4 to {self.size}, not {self.local_size}")
        return self

    @cached_property
    def stylegan2(self) -> Architecture:
        """The same widths in the form that StyleGAN2's layers read."""
        return Architecture(
            resolution=self.size,
            channels=self.channels,
            z_dim=self.latent_dim,
            w_dim=self.style_dim,
            mapping_layers=self.mapping_layers,
        )

    @property
    def content_size(self) -> int:
        """Side of a content in pixels."""
        return self.size >> self.num_down

    @property
    def encoder_resolutions(self) -> tuple[int, ...]:
        """Inputs of the encoder's halving blocks: S down to twice the content's size."""
        return tuple(self.size >> i for i in range(self.num_down))

    @property
    def style_resolutions(self) -> tuple[int, ...]:
        """Inputs of the style head's halving convolutions: the content's size down to 8."""
        return tuple(2**k for k in range(self.content_size.bit_length() - 1, 2, -1))

    @property
    def decoder_resolutions(self) -> tuple[int, ...]:
        """Outputs of the decoder's doubling blocks: twice the content's size up to S."""
        return self.encoder_resolutions[::-1]

    def tower_resolutions(self, last: int) -> tuple[int, ...]:
        """Inputs of a discriminator tower's halving blocks: S down to twice ``last``."""
        return tuple(2**k for k in range(self.size.bit_length() - 1, last.bit_length() - 1, -1))


def published_gans_n_roses(num_down: int = 4) -> GansNRosesArchitecture:
    """Return the published network of 256 pixels: 39.6 million parameters one direction, 31.5 with ``num_down=3``."""
    channels = published_architecture(256, channel_base=16384).channels
    return GansNRosesArchitecture(size=256, num_down=num_down, channels=channels)


def small_gans_n_roses(
    size: int, *, channel_base: int, channel_max: int, style_dim: int, local_size: int | None = None
) -> GansNRosesArchitecture:
    """Return a small network with content of 16 pixels and three mapping layers.

    Args:
        size: Side of pictures in pixels, 32 or more.
        channel_base: Width at resolution R is ``min(channel_max, channel_base / R)``.
        channel_max: Largest width.
        style_dim: Width of the mapping network.
        local_size: Where a discriminator's local tower ends; None: at a quarter of the picture, at most at 32 pixels.
    """
    return GansNRosesArchitecture(
        size=size,
        num_down=(size // 16).bit_length() - 1,
        channels=published_architecture(size, channel_base=channel_base, channel_max=channel_max).channels,
        style_dim=style_dim,
        mapping_layers=3,
        local_size=min(PUBLISHED_LOCAL_SIZE, size // 4) if local_size is None else local_size,
    )
