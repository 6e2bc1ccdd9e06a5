"""GANs N' Roses: a photo's content and an anime style become an anime face in one pass.

Chong & Forsyth, "GANs N' Roses: Stable, Controllable, Diverse Image to Image Translation", 2021. Content is what varies
when one picture is augmented, style is what stays. One generator a direction encodes its source domain and draws its
target domain; the layers are those of StyleGAN2 (Karras et al. 2020) without noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.compared.gans_n_roses_architecture import GansNRosesArchitecture
from nigaoe_model.stylegan2.discriminator import RESIDUAL_GAIN, ResidualBlock
from nigaoe_model.stylegan2.layers import ConvLayer, EqualLinear, ModulatedConv2d, ToRGB
from nigaoe_model.stylegan2.ops.activation import bias_leaky_relu
from nigaoe_model.stylegan2.ops.folding import pays, upsampling_taps
from nigaoe_model.stylegan2.ops.resample import fir_kernel, upsample2d


class PlainResidualBlock(nn.Module):
    """Two convolutions beside the identity. # [N, C, R, R] -> [N, C, R, R]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv0 = ConvLayer(width, width, 3)
        self.conv1 = ConvLayer(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both paths, divided by sqrt(2)."""
        residual: Tensor = self.conv1(self.conv0(x))
        return (x + residual) * RESIDUAL_GAIN


class ModulatedLayer(nn.Module):
    """Modulated 3 x 3 convolution, bias, leaky rectifier; no noise.

    Args:
        in_channels: Input channels, I.
        out_channels: Output channels, O.
        style_dim: Width of the style.
        resample_kernel: FIR kernel # [t, t]; when given the output is twice as large.
    """

    resample_kernel: Tensor | None
    up_taps: Tensor | None

    def __init__(
        self, in_channels: int, out_channels: int, style_dim: int, *, resample_kernel: Tensor | None = None
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, style_dim)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        taps = None if resample_kernel is None else upsampling_taps(resample_kernel)
        self.register_buffer("resample_kernel", resample_kernel, persistent=False)
        self.register_buffer("up_taps", taps, persistent=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map # [N, I, R, R] under ``style`` # [N, style_dim] to # [N, O, R, R], or # [N, O, 2R, 2R]."""
        taps = self.up_taps if pays(x) else None
        return bias_leaky_relu(self.conv(x, style, self.resample_kernel, taps), self.bias)


class ModulatedResidualBlock(nn.Module):
    """Two modulated convolutions beside the identity. # [N, C, R, R] -> [N, C, R, R]."""

    def __init__(self, width: int, style_dim: int) -> None:
        super().__init__()
        self.conv0 = ModulatedLayer(width, width, style_dim)
        self.conv1 = ModulatedLayer(width, width, style_dim)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Return the sum of both paths, divided by sqrt(2). ``style`` # [N, style_dim]."""
        residual: Tensor = self.conv1(self.conv0(x, style), style)
        return (x + residual) * RESIDUAL_GAIN


class StyleHead(nn.Module):
    """Features at the content's size to a style code. # [N, C, s, s] -> [N, latent_dim]."""

    def __init__(self, architecture: GansNRosesArchitecture) -> None:
        super().__init__()
        channels = architecture.channels
        kernel = fir_kernel(architecture.stylegan2.resample_filter)
        self.convs = nn.ModuleList(
            ConvLayer(channels[r], channels[r // 2], 3, resample_kernel=kernel) for r in architecture.style_resolutions
        )
        self.fc = EqualLinear(16 * channels[4], channels[4], activate=True)
        self.out = EqualLinear(channels[4], architecture.latent_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return style codes # [N, latent_dim]."""
        for conv in self.convs:
            x = conv(x)
        code: Tensor = self.out(self.fc(x.flatten(1)))
        return code


class Encoder(nn.Module):
    """Pictures # [N, 3, S, S] in [-1, 1] to content # [N, C, s, s] and style code # [N, latent_dim]."""

    def __init__(self, architecture: GansNRosesArchitecture) -> None:
        super().__init__()
        channels, layers = architecture.channels, architecture.stylegan2
        width = channels[architecture.content_size]
        self.fromrgb = ConvLayer(3, channels[architecture.size], 1)
        self.blocks = nn.ModuleDict({f"b{r}": ResidualBlock(r, layers) for r in architecture.encoder_resolutions})
        self.residual = nn.ModuleList(PlainResidualBlock(width) for _ in range(architecture.residual_blocks))
        self.content = nn.Sequential(ConvLayer(width, width, 1), ConvLayer(width, width, 1))
        self.style = StyleHead(architecture)

    def stem(self, image: Tensor) -> Tensor:
        """Return the features that both heads read. # [N, 3, S, S] -> [N, C, s, s]."""
        x: Tensor = self.fromrgb(image)
        for block in (*self.blocks.values(), *self.residual):
            x = block(x)
        return x

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return content # [N, C, s, s] and style code # [N, latent_dim]."""
        x = self.stem(image)
        return self.content(x), self.style(x)


class Mapping(nn.Module):
    """Style code to style, a few fully connected layers without normalisation. # [N, latent_dim] -> [N, style_dim]."""

    def __init__(self, architecture: GansNRosesArchitecture) -> None:
        super().__init__()
        widths = [architecture.latent_dim] + [architecture.style_dim] * architecture.mapping_layers
        multiplier = architecture.stylegan2.mapping_lr_multiplier
        self.layers = nn.ModuleList(
            EqualLinear(i, o, lr_multiplier=multiplier, activate=True) for i, o in pairwise(widths)
        )

    def forward(self, code: Tensor) -> Tensor:
        """Return the style # [N, style_dim]."""
        for layer in self.layers:
            code = layer(code)
        return code


class DecoderBlock(nn.Module):
    """One doubling of the picture: two modulated layers, and ToRGB onto the skip."""

    resample_kernel: Tensor

    def __init__(self, resolution: int, architecture: GansNRosesArchitecture) -> None:
        super().__init__()
        before, width = architecture.channels[resolution // 2], architecture.channels[resolution]
        kernel = fir_kernel(architecture.stylegan2.resample_filter)
        self.conv0 = ModulatedLayer(before, width, architecture.style_dim, resample_kernel=kernel)
        self.conv1 = ModulatedLayer(width, width, architecture.style_dim)
        self.torgb = ToRGB(width, architecture.stylegan2)
        self.register_buffer("resample_kernel", kernel, persistent=False)

    def forward(self, x: Tensor, image: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Return features # [N, C', 2R, 2R] and picture # [N, 3, 2R, 2R] for those of half the size."""
        x = self.conv1(self.conv0(x, style), style)
        return x, self.torgb(x, style) + upsample2d(image, self.resample_kernel)


class Decoder(nn.Module):
    """Content # [N, C, s, s] and style # [N, style_dim] to a picture # [N, 3, S, S]; one style for all layers."""

    def __init__(self, architecture: GansNRosesArchitecture) -> None:
        super().__init__()
        width, style_dim = architecture.channels[architecture.content_size], architecture.style_dim
        count = architecture.residual_blocks
        self.residual = nn.ModuleList(ModulatedResidualBlock(width, style_dim) for _ in range(count))
        self.conv = ModulatedLayer(width, width, style_dim)
        self.torgb = ToRGB(width, architecture.stylegan2)
        self.blocks = nn.ModuleDict({f"b{r}": DecoderBlock(r, architecture) for r in architecture.decoder_resolutions})

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Return the picture in raw network range, about [-1, 1]. # [N, 3, S, S]."""
        x = content
        for block in self.residual:
            x = block(x, style)
        x = self.conv(x, style)
        image: Tensor = self.torgb(x, style)
        for block in self.blocks.values():
            x, image = block(x, image, style)
        return image


class GansNRosesGenerator(nn.Module):
    """One direction: it encodes pictures of its source domain and draws pictures of its target domain."""

    def __init__(self, architecture: GansNRosesArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.mapping = Mapping(architecture)
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)
        # What encoder and decoder compute in; None: in the type of what they are given.
        self.reduced_dtype: torch.dtype | None = None

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return content # [N, C, s, s] and style code # [N, latent_dim] of pictures # [N, 3, S, S] in [-1, 1]."""
        content, code = self.encoder(self._reduced(image))
        return content, code.to(image.dtype)

    def content(self, image: Tensor) -> Tensor:
        """Return only the content. # [N, 3, S, S] -> [N, C, s, s]."""
        content: Tensor = self.encoder.content(self.encoder.stem(self._reduced(image)))
        return content

    def style_code(self, image: Tensor) -> Tensor:
        """Return only the style code, one of the *source* domain. # [N, 3, S, S] -> [N, latent_dim]."""
        code: Tensor = self.encoder.style(self.encoder.stem(self._reduced(image)))
        return code.to(image.dtype)

    def decode(self, content: Tensor, code: Tensor) -> Tensor:
        """Draw in the target domain.

        Args:
            content: # [N, C, s, s].
            code: Style code of the *target* domain, or drawn from N(0, I). # [N, latent_dim].

        Returns:
            Pictures in raw network range, about [-1, 1]. # [N, 3, S, S].
        """
        image: Tensor = self.decoder(self._reduced(content), self.mapping(code))
        return image.to(code.dtype)

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        """Translate pictures # [N, 3, S, S] in [-1, 1] with style codes # [N, latent_dim]."""
        return self.decode(self.content(image), code)

    def _reduced(self, x: Tensor) -> Tensor:
        return x if self.reduced_dtype is None else x.to(self.reduced_dtype)


Style = int | Tensor
"""Of one drawing: a seed, or an anime face # [3, S, S] in [-1, 1] whose style is taken."""


def seeded_code(seed: int, latent_dim: int) -> Tensor:
    """Draw a style code from N(0, I); a seed gives the same one everywhere. # [latent_dim]."""
    return torch.randn(latent_dim, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True, slots=True)
class GansNRoses:
    """The method ready to draw, in evaluation mode.

    Attributes:
        photo_to_anime: Draws anime faces of photos.
        anime_to_photo: Reads the style of anime faces; None: styles are drawn from a seed only.
    """

    photo_to_anime: GansNRosesGenerator
    anime_to_photo: GansNRosesGenerator | None = None

    @torch.no_grad()
    def draw(self, photos: Tensor, styles: Sequence[Style]) -> Tensor:
        """Draw every photo in one forward pass; no drawing depends on its neighbours in the batch.

        Args:
            photos: # [N, 3, S, S] in [-1, 1].
            styles: One a photo.

        Returns:
            # [N, 3, S, S] in [-1, 1].

        Raises:
            ValueError: A picture has another size, or photos and styles differ in number.
            CheckpointMismatch: A style is an anime face, and the network that reads it is missing.
        """
        self._check(photos)
        if len(styles) != len(photos):
            raise ValueError(f"{len(photos)} photos need as many styles, not {len(styles)}")
        images: Tensor = self.photo_to_anime(photos, self._codes(styles, photos))
        return images.clamp(-1, 1)

    def _codes(self, styles: Sequence[Style], like: Tensor) -> Tensor:
        faces = [style[None].to(like) for style in styles if isinstance(style, Tensor)]
        read = iter(self._read(faces) if faces else ())
        latent_dim = self.photo_to_anime.architecture.latent_dim
        codes = [seeded_code(s, latent_dim).to(like) if isinstance(s, int) else next(read) for s in styles]
        return torch.stack(codes) if codes else like.new_empty(0, latent_dim)

    def _read(self, faces: Sequence[Tensor]) -> Tensor:
        if self.anime_to_photo is None:
            raise CheckpointMismatch(
                "This GANs N' Roses holds no network that reads the style of an anime face (`G_B2A`): draw with a "
                "seed, or import the full file."
            )
        for face in faces:
            self._check(face)
        return self.anime_to_photo.style_code(torch.cat(list(faces)))

    def _check(self, pictures: Tensor) -> None:
        size = self.photo_to_anime.architecture.size
        if pictures.ndim != 4 or tuple(pictures.shape[1:]) != (3, size, size):
            raise ValueError(f"pictures must be [N, 3, {size}, {size}], not {list(pictures.shape)}")
