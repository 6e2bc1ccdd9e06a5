"""Drawings in one pass: aligned photos in, drawings out, by a network that needs no search and knows no latent.

GANs N' Roses draws a photo's content in a style that a seed or an anime picture gives; a Swapping Autoencoder draws a
photo's structure with the texture of an anime picture, or with the mean texture that is stored in its file. Photos
share a pass, and no drawing depends on its neighbours in it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nigaoe_core.errors import OptionNotTaken, ReferenceNeeded, WrongSize
from nigaoe_core.manifest import DEFAULT_UPSCALER, UpscalerName
from nigaoe_core.registry import Style
from nigaoe_core.style_methods import GANS_N_ROSES, StyleMethod
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.compared.gans_n_roses import GansNRoses
from nigaoe_model.compared.gans_n_roses_checkpoint import GansNRosesCheckpoint, load_gans_n_roses
from nigaoe_model.compared.swapping_autoencoder import SwappingAutoencoder
from nigaoe_model.compared.swapping_autoencoder_checkpoint import (
    SwappingAutoencoderCheckpoint,
    load_swapping_autoencoder,
)
from nigaoe_model.portrait.drawing import enlarge
from nigaoe_model.portrait.upscale import Upscaler


@dataclass(frozen=True, slots=True, eq=False)
class FeedForwardStyle:
    """A feed-forward network on its device, ready to draw; compared by identity.

    Attributes:
        style: The style's name.
        method: Which of the methods it is.
        network: In evaluation mode, without gradients, float32.
        mean_texture: Of a Swapping Autoencoder, on its device: texture of photos without a reference; None: each needs
            one. # [1, texture_dim].
        alignment: How photos and references are framed.
        resolution: Side R of its pictures in pixels.
        model_id: Name and digest of the network.
        device: Where it computes.
        upscaler: How its drawings are enlarged.
    """

    style: str
    method: StyleMethod
    network: GansNRoses | SwappingAutoencoder
    mean_texture: Tensor | None
    alignment: AlignmentTemplate
    resolution: int
    model_id: str
    device: torch.device
    upscaler: UpscalerName = DEFAULT_UPSCALER

    @property
    def has_own_style(self) -> bool:
        """Whether it draws photos that come without a reference."""
        return self.method == GANS_N_ROSES or self.mean_texture is not None


@dataclass(frozen=True, slots=True, eq=False)
class OnePassRequest:
    """One photo to draw; compared by identity.

    Attributes:
        photo: Aligned, see `nigaoe_model.portrait.convert.target_of`. # [3, R, R] in [-1, 1].
        seed: Of the style, where the method draws one at random and there is no reference.
        reference: Aligned anime picture whose style or texture is used. # [3, R, R] in [-1, 1].
    """

    photo: Tensor
    seed: int = 0
    reference: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OnePassDrawing:
    """What became of one photo; RGB in [-1, 1] on the CPU.

    Attributes:
        drawing: As the network draws it. # [3, R, R].
        picture: At its final size. # [3, S, S]; S is 4 R below 256 pixels, else R.
        report: Style, method, seed (None where none was used), whether there was a reference, seconds, model ids:
            JSON-ready. A photo's seconds are its share of the pass.
    """

    drawing: Tensor
    picture: Tensor
    report: dict[str, Any]


def load_feed_forward(entry: Style, device: torch.device | str = "cpu") -> FeedForwardStyle:
    """Load a feed-forward style.

    Args:
        entry: Of the registry, see `nigaoe_core.registry.Registry.feed_forward`.
        device: Where it computes.

    Raises:
        MethodMismatch: Its file is of another method than its entry.
        CheckpointError: Its file cannot be used.
    """
    checkpoint: GansNRosesCheckpoint | SwappingAutoencoderCheckpoint
    if entry.method == GANS_N_ROSES:
        checkpoint = load_gans_n_roses(entry.path)
    else:
        checkpoint = load_swapping_autoencoder(entry.path)
    return feed_forward_style(entry.name, checkpoint, device, upscaler=entry.upscaler)


def feed_forward_style(
    style: str,
    checkpoint: GansNRosesCheckpoint | SwappingAutoencoderCheckpoint,
    device: torch.device | str = "cpu",
    *,
    upscaler: UpscalerName = DEFAULT_UPSCALER,
) -> FeedForwardStyle:
    """Make a style of a checkpoint that was read.

    Args:
        style: The style's name.
        checkpoint: Of either method.
        device: Where it computes.
        upscaler: How its drawings are enlarged.

    Raises:
        CheckpointMismatch: The tensors do not fit the architecture.
    """
    card, device = checkpoint.card, torch.device(device)
    if isinstance(checkpoint, GansNRosesCheckpoint):
        mean_texture, resolution = None, checkpoint.card.architecture.size
    else:
        mean_texture, resolution = checkpoint.mean_texture, checkpoint.card.architecture.resolution
    return FeedForwardStyle(
        style=style,
        method=card.kind,
        network=checkpoint.build(device),
        mean_texture=mean_texture[None].to(device, torch.float32) if mean_texture is not None else None,
        alignment=card.alignment,
        resolution=resolution,
        model_id=f"{card.name}@{checkpoint.digest[:12]}",
        device=device,
        upscaler=upscaler,
    )


@torch.no_grad()
def draw_in_one_pass(
    style: FeedForwardStyle, requests: Sequence[OnePassRequest], upscaler: Upscaler | None
) -> list[OnePassDrawing]:
    """Draw photos, all in one forward pass.

    Args:
        style: Draws them.
        requests: At least one.
        upscaler: Enlarges small pictures, in the style's own way; None leaves them as they are drawn.

    Returns:
        One drawing a request.

    Raises:
        WrongSize: A picture has another size than the network's.
        OptionNotTaken: There is a reference, and the style's file has no network that reads one.
        ReferenceNeeded: There is none, and the style's file has no texture of its own.
        BrokenCheckpoint: The upscaler's weights are missing or damaged.
    """
    start = time.perf_counter()
    for request in requests:
        check_request(style, request)
    photos = torch.stack([request.photo for request in requests]).to(style.device)
    if isinstance(style.network, GansNRoses):
        drawings = style.network.draw(photos, [r.seed if r.reference is None else r.reference for r in requests])
    else:
        drawings = style.network.draw(photos, _textures(style, style.network, requests)).clamp(-1, 1)
    pictures = enlarge(drawings, upscaler, style.upscaler).cpu()
    drawings = drawings.cpu()
    seconds = (time.perf_counter() - start) / len(requests)
    return [
        OnePassDrawing(drawing, picture, _report(style, request, seconds))
        for drawing, picture, request in zip(drawings, pictures, requests, strict=True)
    ]


def check_request(style: FeedForwardStyle, request: OnePassRequest) -> None:
    """Refuse a request that could not be drawn, so that it fails without those that would share its pass.

    Raises:
        WrongSize: A picture has another size than the network's.
        OptionNotTaken: There is a reference, and the style's file has no network that reads one.
        ReferenceNeeded: There is none, and the style's file has no texture of its own.
    """
    size = (3, style.resolution, style.resolution)
    for what, picture in (("photo", request.photo), ("reference", request.reference)):
        if picture is not None and tuple(picture.shape) != size:
            raise WrongSize(
                f"The aligned {what} is {list(picture.shape)}; the style `{style.style}` needs {list(size)}."
            )
    if isinstance(style.network, GansNRoses):
        if request.reference is not None and style.network.anime_to_photo is None:
            raise OptionNotTaken(
                f"The style `{style.style}` cannot read the style of an anime face: its file holds only the network "
                "that draws. Leave `reference` out, or import the full file.",
                option="reference",
            )
    elif request.reference is None and style.mean_texture is None:
        raise ReferenceNeeded(f"The style `{style.style}` has no texture of its own: give an anime face as reference.")


def _textures(style: FeedForwardStyle, network: SwappingAutoencoder, requests: Sequence[OnePassRequest]) -> Tensor:
    """Return the texture of each request's reference, else the style's own. # [N, texture_dim]."""
    references = [request.reference for request in requests if request.reference is not None]
    read = iter(network.encode(torch.stack(references).to(style.device)).texture if references else ())
    own = style.mean_texture
    return torch.stack([own[0] if own is not None and r.reference is None else next(read) for r in requests])


def _report(style: FeedForwardStyle, request: OnePassRequest, seconds: float) -> dict[str, Any]:
    has_reference = request.reference is not None
    uses_seed = style.method == GANS_N_ROSES and not has_reference
    return {
        "style": style.style,
        "method": style.method,
        "seed": request.seed if uses_seed else None,
        "reference": has_reference,
        "seconds": {"draw": seconds},
        "models": {style.method: style.model_id},
    }
