"""The Swapping Autoencoder: the structure of one picture is drawn with the texture of another, in one pass.

Park et al., "Swapping Autoencoder for Deep Image Manipulation", 2020: section 3 and appendix A. Two flavours: the
paper's own (``official``), and that of rosinality's program, which differs in how codes end and features are modulated
(:class:`nigaoe_model.compared.swapping_autoencoder_architecture.SwappingAutoencoderArchitecture`). The layers are those
of StyleGAN2 (Karras et al. 2020).
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nigaoe_model.compared.swapping_autoencoder_architecture import SwappingAutoencoderArchitecture
from nigaoe_model.compared.swapping_autoencoder_layers import (
    FIR_TAPS,
    EncoderBlock,
    GeneratorBlock,
    LinearConv,
    OfficialToRGB,
    UnpaddedConv,
)
from nigaoe_model.stylegan2.layers import ConvLayer, EqualLinear, NoiseMode
from nigaoe_model.stylegan2.ops.resample import fir_kernel

UNIT_EPSILON = 1e-8


class Codes(NamedTuple):
    """What the encoder makes of pictures.

    Attributes:
        structure: Where things are. # [N, 8, S, S].
        texture: What they look like. # [N, texture_dim].
    """

    structure: Tensor
    texture: Tensor


class Encoder(nn.Module):
    """Pictures # [N, 3, R, R] in [-1, 1] -> :class:`Codes`."""

    def __init__(self, architecture: SwappingAutoencoderArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        official, widths = architecture.is_official, architecture.encoder_channels
        self.stem = ConvLayer(3, widths[0], 1)
        self.blocks = nn.ModuleList(EncoderBlock(i, o, is_official=official) for i, o in pairwise(widths))
        width, structure = widths[-1], architecture.structure_channels
        last = LinearConv(width, structure) if official else ConvLayer(width, structure, 1)
        self.structure = nn.Sequential(ConvLayer(width, width, 1), last)
        steps = pairwise((width, *architecture.texture_channels))
        self.texture = nn.Sequential(
            *(
                UnpaddedConv(i, o, stride=2) if official else ConvLayer(i, o, 3, resample_kernel=fir_kernel(FIR_TAPS))
                for i, o in steps
            )
        )
        self.summary = EqualLinear(architecture.texture_channels[-1], architecture.texture_dim, activate=not official)
        # What convolutions compute in; None: in the type of the pictures.
        self.reduced_dtype: torch.dtype | None = None

    def forward(self, image: Tensor) -> Codes:
        """Encode pictures; in the official flavour every code has unit length over its channels."""
        x = self.stem(image.to(self.reduced_dtype or image.dtype))
        for block in self.blocks:
            x = block(x)
        structure = self.structure(x).to(image.dtype)  # [N, 8, S, S]
        texture = self.summary(self.texture(x).to(image.dtype).mean(dim=(2, 3)))  # [N, texture_dim]
        if self.architecture.is_official:
            return Codes(unit_length(structure), unit_length(texture))
        return Codes(structure, texture)


class SpatialModulation(nn.Module):
    """``structure * scale(texture) + offset(texture)``: the official generator's first layer."""

    def __init__(self, architecture: SwappingAutoencoderArchitecture) -> None:
        super().__init__()
        # A start at one, as in every modulation: at zero the structure would hardly get through.
        self.scale = EqualLinear(architecture.texture_dim, architecture.structure_channels, bias_init=1.0)
        self.offset = EqualLinear(architecture.texture_dim, architecture.structure_channels)

    def forward(self, codes: Codes) -> Tensor:
        """Return the structure as the texture wants it. # [N, 8, S, S]."""
        structure, texture = codes
        scale: Tensor = self.scale(texture)
        offset: Tensor = self.offset(texture)
        return structure * scale[:, :, None, None] + offset[:, :, None, None]


class Generator(nn.Module):
    """:class:`Codes` to pictures # [N, 3, R, R], about [-1, 1]."""

    def __init__(self, architecture: SwappingAutoencoderArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        size, heads = architecture.structure_size, len(architecture.head_channels)
        widths = (architecture.structure_channels, *architecture.head_channels, *architecture.up_channels)
        self.modulation = SpatialModulation(architecture) if architecture.is_official else None
        self.blocks = nn.ModuleList(
            GeneratorBlock(pair, size << max(i + 1 - heads, 0), architecture, seed=i, up=i >= heads)
            for i, pair in enumerate(pairwise(widths))
        )
        self.to_rgb = (
            OfficialToRGB(widths[-1], architecture.texture_dim)
            if architecture.is_official
            else LinearConv(widths[-1], 3)
        )
        # What convolutions compute in; None: in the type of the codes.
        self.reduced_dtype: torch.dtype | None = None

    def forward(self, codes: Codes, noise: NoiseMode = "fixed") -> Tensor:
        """Draw pictures.

        Args:
            codes: N structures and N textures.
            noise: ``random`` in training; ``fixed`` draws the same picture every time.
        """
        structure, texture = codes
        x = (structure if self.modulation is None else self.modulation(codes)).to(self.reduced_dtype or structure.dtype)
        for block in self.blocks:
            x = block(x, texture, noise)
        image: Tensor = self.to_rgb(x) if isinstance(self.to_rgb, LinearConv) else self.to_rgb(x, texture)
        return image.to(structure.dtype)


class SwappingAutoencoder(nn.Module):
    """Encoder and generator: what draws a photo like an anime picture.

    Nothing couples the pictures of a batch, so each gets what it would get alone, up to rounding.
    """

    def __init__(self, architecture: SwappingAutoencoderArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = Encoder(architecture)
        self.generator = Generator(architecture)

    def forward(self, photo: Tensor, reference: Tensor) -> Tensor:
        """The same as :meth:`swap`, wholly with the reference's texture."""
        return self.swap(photo, reference)

    def swap(self, photo: Tensor, reference: Tensor, *, alpha: float = 1.0) -> Tensor:
        """Draw photos with the texture of other pictures.

        Args:
            photo: Gives the structure. # [N, 3, R, R] in [-1, 1].
            reference: Gives the texture, to one photo each or to all. # [N or 1, 3, R, R].
            alpha: See :meth:`draw`.

        Returns:
            # [N, 3, R, R].

        Raises:
            ValueError: Pictures of another size, or numbers of pictures that do not go together.
        """
        return self.draw(photo, self.encode(reference).texture, alpha=alpha)

    def draw(self, photo: Tensor, texture: Tensor, *, alpha: float = 1.0) -> Tensor:
        """Draw photos with given textures, such as :meth:`mean_texture`.

        Args:
            photo: # [N, 3, R, R] in [-1, 1].
            texture: # [N or 1, texture_dim].
            alpha: 1: all of the texture; 0: all of the photo's own; textures are blended linearly in between.

        Raises:
            ValueError: See :meth:`swap`; or ``alpha`` is not in 0..1.
        """
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha must be 0..1, not {alpha}")
        codes = self.encode(photo)
        if len(texture) not in (1, len(photo)):
            raise ValueError(f"{len(texture)} textures cannot be given to {len(photo)} photos: one each, or one")
        blended = torch.lerp(codes.texture, texture.expand_as(codes.texture), alpha)
        return self.generator(Codes(codes.structure, blended))  # type: ignore[no-any-return] # a module's call is untyped

    def encode(self, image: Tensor) -> Codes:
        """Encode pictures # [N, 3, R, R].

        Raises:
            ValueError: They are of another size than the networks'.
        """
        side = self.architecture.resolution
        if image.shape[1:] != (3, side, side):
            raise ValueError(f"pictures must be # [N, 3, {side}, {side}], not {list(image.shape)}")
        codes: Codes = self.encoder(image)
        return codes

    def mean_texture(self, batches: Iterable[Tensor]) -> Tensor:
        """Return the mean texture of a set of pictures. # [1, texture_dim].

        In the official flavour it has unit length, as every texture that the generator has learned from.

        Args:
            batches: The pictures, # [N, 3, R, R] each; how they are divided does not matter.

        Raises:
            ValueError: There are none, or of another size.
        """
        textures = [self.encode(batch).texture.double() for batch in batches]
        if not sum(len(texture) for texture in textures):
            raise ValueError("there is no picture to take a texture from")
        mean = torch.cat(textures).mean(dim=0, keepdim=True).float()
        return unit_length(mean) if self.architecture.is_official else mean


def unit_length(code: Tensor) -> Tensor:
    """Divide by the Euclidean length over channels. # [N, C] or [N, C, S, S]."""
    return code * torch.rsqrt(code.square().sum(dim=1, keepdim=True) + UNIT_EPSILON)
