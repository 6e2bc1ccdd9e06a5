"""The shape of a Swapping Autoencoder as data: what a checkpoint stores and every constructor reads.

Park et al., "Swapping Autoencoder for Deep Image Manipulation", 2020, appendix A.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Width = Annotated[int, Field(ge=1, le=4096)]

UNPADDED_KERNEL = 3
"""Side of the kernels on the way to the official texture."""


class SwappingAutoencoderArchitecture(BaseModel):
    """Shape of one encoder and one generator.

    Attributes:
        resolution: Side of the pictures in pixels; the networks are convolutional, so no tensor's shape tells it.
        flavour: ``official``, as in the paper: codes of unit length, modulation with weights that are demodulated
            without the style, plain skips. ``rosinality``: codes as they come, StyleGAN2's modulation.
        encoder_channels: Widths of the encoder's trunk: of its first layer, and after each halving.
        texture_channels: Widths after each convolution that halves the features on their way to the texture.
        texture_dim: Length of a texture.
        structure_channels: Channels of a structure.
        head_channels: Widths of the generator's blocks at the structure's size.
        up_channels: Widths of its blocks that double the size, as many as the trunk has halvings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolution: Annotated[int, Field(ge=16, le=2048)]
    flavour: Literal["official", "rosinality"] = "official"
    encoder_channels: Annotated[tuple[Width, ...], Field(min_length=2, max_length=9)]
    texture_channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=4)]
    texture_dim: Width
    structure_channels: Width = 8
    head_channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    up_channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    family: Literal["swapping-autoencoder"] = "swapping-autoencoder"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.resolution % 2**self.halvings:
            raise ValueError(f"a side of {self.resolution} pixels cannot be halved {self.halvings} times")
        if len(self.up_channels) != self.halvings:
            raise ValueError(f"the trunk halves {self.halvings} times, the generator doubles {len(self.up_channels)}")
        side = self.structure_size
        for _ in self.texture_channels:
            side = (side - UNPADDED_KERNEL) // 2 + 1 if self.is_official else side // 2
            if side < 1:
                raise ValueError(f"a structure of {self.structure_size} pixels is too small for the texture's layers")
        return self

    @property
    def is_official(self) -> bool:
        """Whether it is the paper's own flavour."""
        return self.flavour == "official"

    @property
    def halvings(self) -> int:
        """How often the trunk halves a picture."""
        return len(self.encoder_channels) - 1

    @property
    def structure_size(self) -> int:
        """Side of a structure in pixels."""
        return self.resolution >> self.halvings


class PatchArchitecture(BaseModel):
    """Shape of the patch co-occurrence discriminator.

    Attributes:
        patch_size: Side to which crops are resampled, in pixels.
        channels: Widths of its layers: of the first, and after each halving down to 4 pixels.
        pair_widths: Widths of the hidden layers that compare two patches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch_size: Annotated[int, Field(ge=8, le=1024)] = 128
    channels: Annotated[tuple[Width, ...], Field(min_length=2, max_length=9)] = (32, 64, 128, 256, 384, 384)
    pair_widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (2048, 2048, 1024)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.patch_size != 4 << (len(self.channels) - 1):
            raise ValueError(f"{len(self.channels)} widths lead from {4 << (len(self.channels) - 1)} pixels to 4")
        return self


def official_architecture(
    resolution: int = 256,
    *,
    halvings: int = 4,
    encoder_width: float = 32,
    texture_halvings: int = 2,
    texture_dim: int = 2048,
    generator_width: float = 512,
) -> SwappingAutoencoderArchitecture:
    """Return the paper's widths; the defaults are those of its networks of 256 pixels.

    Args:
        resolution: Side in pixels.
        halvings: Of the trunk.
        encoder_width: Width of the trunk's first layer; each halving doubles it.
        texture_halvings: Of the way to the texture.
        texture_dim: Length of a texture, and the most channels before it.
        generator_width: The most channels of the generator: it begins with half as many, and ends with a quarter.
    """
    return SwappingAutoencoderArchitecture(
        resolution=resolution,
        encoder_channels=tuple(int(encoder_width * 2**i) for i in range(halvings + 1)),
        texture_channels=tuple(
            min(texture_dim, int(encoder_width * 2 ** (halvings + 1 + i))) for i in range(texture_halvings)
        ),
        texture_dim=texture_dim,
        head_channels=(int(generator_width / 2), int(generator_width)),
        up_channels=tuple(int(min(generator_width, generator_width / 4 * 2**i)) for i in reversed(range(halvings))),
    )


def rosinality_architecture(resolution: int = 256, *, channel: int = 32) -> SwappingAutoencoderArchitecture:
    """Return the widths of rosinality's program: multiples of ``channel``."""
    return SwappingAutoencoderArchitecture(
        resolution=resolution,
        flavour="rosinality",
        encoder_channels=tuple(channel * 2**i for i in range(5)),
        texture_channels=(channel * 32, channel * 64),
        texture_dim=channel * 64,
        head_channels=(channel * 4, channel * 8, channel * 12, channel * 16),
        up_channels=(channel * 16, channel * 16, channel * 8, channel * 4),
    )


SHRUNK = {
    "small": official_architecture(64, halvings=3, texture_halvings=1, texture_dim=256, generator_width=192),
    "medium": official_architecture(64, halvings=3, encoder_width=24, texture_dim=384, generator_width=192),
    "large": official_architecture(64, halvings=3, texture_dim=512, generator_width=256),
}
"""Networks of 64 pixels with 3.3, 4.6 and 8.2 million parameters, encoder and generator together."""

SHRUNK_PATCHES = PatchArchitecture(patch_size=32, channels=(32, 64, 128, 128), pair_widths=(512, 512, 256))
"""Of 64 pixels: crops of a quarter to a half of the side, enlarged to 32 pixels."""
