"""The shape of an encoder as data: what its file stores and its constructor reads."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nigaoe_model.stylegan2.architecture import Architecture

MAX_SIDE = 64
"""Larger pictures are reduced to this many pixels: hair, pose and expression need no more, and a guess stays cheap."""

COARSEST = 4
"""Side of the last feature map, whose positions all go into the latent."""

WIDTHS = (32, 64, 96, 128, 128)
"""Channels at 64, 32, 16, 8 and 4 pixels; smaller pictures begin further on."""

FEATURES = 192

Width = Annotated[int, Field(ge=4, le=1024)]


class EncoderArchitecture(BaseModel):
    """Shape of one encoder.

    Attributes:
        side: Side in pixels to which pictures are resampled.
        widths: Channels at each resolution from ``side`` down to 4 pixels.
        features: Numbers that describe a face before each layer's head reads them.
        num_ws: Layers of the generator.
        w_dim: Length of a style.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: Annotated[int, Field(ge=8, le=256)]
    widths: tuple[Width, ...]
    features: Annotated[int, Field(ge=4, le=4096)] = FEATURES
    num_ws: Annotated[int, Field(ge=2, le=64)]
    w_dim: Annotated[int, Field(ge=1, le=4096)]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.side & (self.side - 1):
            raise ValueError(f"side must be a power of two, not {self.side}")
        if self.side != COARSEST << (len(self.widths) - 1):
            raise ValueError(f"{len(self.widths)} widths reach from 4 to {COARSEST << (len(self.widths) - 1)} pixels")
        return self


def encoder_architecture(generator: Architecture) -> EncoderArchitecture:
    """Return the usual encoder of a generator: about 1.7 million parameters at 64 pixels and w of 256."""
    side = min(generator.resolution, MAX_SIDE)
    halvings = (side // COARSEST).bit_length() - 1
    return EncoderArchitecture(
        side=side, widths=WIDTHS[-halvings - 1 :], num_ws=generator.num_ws, w_dim=generator.w_dim
    )
