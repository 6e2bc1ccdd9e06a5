"""A person in consecutive frames of a video, drawn in one pass a frame and without flicker.

The encoder guesses a latent for each frame. What changes from frame to frame without a reason is taken out: latents
are smoothed in time, and what costs a search or many steps, the correction of a guess and the person's colours, is
found in the first frame of a shot and carried along it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_core.errors import UsageError
from nigaoe_faces.one_euro import OneEuroFilter, OneEuroSettings
from nigaoe_model.portrait.blend import blend
from nigaoe_model.portrait.convert import target_of
from nigaoe_model.portrait.drawing import Look, coloured_latents, enlarge
from nigaoe_model.portrait.pair import Pair
from nigaoe_model.portrait.upscale import Upscaler

LATENT_SMOOTHING: Final = OneEuroSettings(min_cutoff=1.0, beta=0.5)
"""Of w+ in standard deviations of w."""

Search = Callable[[NDArray[np.uint8]], Tensor]
"""Finds the latent of a crop, # [R, R, 3] -> [num_ws, w_dim], better than the encoder guesses it."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceFrame:
    """One frame's face.

    Attributes:
        crop: Aligned for the style's generator. # [R, R, 3], sRGB.
        time: In seconds.
        starts: Whether it is the first one of a person in a shot.
        side: Of the crop's square in pixels of the frame: larger ones than the drawing are worth enlarging for.
    """

    crop: NDArray[np.uint8]
    time: float
    starts: bool
    side: float


@dataclass(slots=True, eq=False)
class _Shot:
    """What the first frame of a shot says about all of them.

    Attributes:
        correction: From its guess to what a search has found. # [num_ws, w_dim].
        colours: From its truncated latent to one that is drawn in the person's colours. # [num_ws, w_dim].
        enlarged: Whether drawings are enlarged.
    """

    correction: Tensor
    colours: Tensor
    enlarged: bool


class ClipDrawer:
    """Draws one person through the frames of a video; it remembers the frames before.

    Args:
        pair: The style.
        look: Degree, truncation and colours.
        upscaler: Enlarges drawings of faces that are large in the frame; None: nothing is enlarged.
        smoothing: Of latents; None: they are drawn as the encoder guesses them.
        search: Corrects the guess of each shot's first frame, and thereby those of all its frames; None: nothing does.

    Raises:
        UsageError: The style's generator has no encoder.
    """

    def __init__(
        self,
        pair: Pair,
        look: Look,
        upscaler: Upscaler | None,
        *,
        smoothing: OneEuroSettings | None = LATENT_SMOOTHING,
        search: Search | None = None,
    ) -> None:
        if pair.g_ori.encoder is None:
            raise UsageError(
                f"A video needs an encoder, and the generator of style `{pair.style}` has none: choose another style, "
                "or train one with `nigaoe train encoder`."
            )
        self._pair = pair
        self._look = look
        self._upscaler = upscaler
        self._search = search
        self._encoder = pair.g_ori.encoder.network
        self._generator = blend(pair, look.degree)
        self._filter = OneEuroFilter(smoothing) if smoothing is not None else None
        statistics = pair.g_ori.statistics
        self._unit = statistics.spread / statistics.mean.shape[-1] ** 0.5
        self._shot: _Shot | None = None

    @torch.no_grad()
    def draw(self, frames: Sequence[FaceFrame]) -> list[Tensor]:
        """Draw the next frames, in one pass of encoder and generator.

        Args:
            frames: At least one, in their order; the first of all starts a shot.

        Returns:
            One picture a frame, RGB in [-1, 1] on the CPU. # [3, S, S]; S is R, or 4 R where it is enlarged.

        Raises:
            WrongSize: A crop was cut for another generator.
            InversionError: The search for a shot's first frame failed.
        """
        mapping = self._pair.g_ori.generator.mapping
        resolution = self._pair.g_ori.card.architecture.resolution
        device = next(self._generator.parameters()).device
        targets = torch.stack([target_of(frame.crop, resolution) for frame in frames]).to(device)
        latents, shots = [], []
        for frame, guess in zip(frames, self._encoder(targets), strict=True):
            shot = self._shot_of(frame, guess)
            latents.append(mapping.truncate(self._smoothed(guess, frame) + shot.correction, self._look.truncation_psi))
            shots.append(shot)
        ws = torch.stack([latent + shot.colours for latent, shot in zip(latents, shots, strict=True)])
        drawings = self._generator.draw_image(ws).clamp(-1, 1)
        return self._enlarged(drawings, shots)

    def _shot_of(self, frame: FaceFrame, guess: Tensor) -> _Shot:
        if self._shot is None or frame.starts:
            if self._filter is not None:
                self._filter.reset()
            correction = self._search(frame.crop).to(guess) - guess if self._search is not None else guess * 0
            enlarged = frame.side > self._pair.g_fin.card.architecture.resolution
            self._shot = _Shot(correction, self._colours(guess + correction), enlarged)
        return self._shot

    def _colours(self, found: Tensor) -> Tensor:
        """Return what a latent lacks to be drawn in the person's colours. # [num_ws, w_dim] -> [num_ws, w_dim]."""
        if not self._look.colours:
            return found * 0
        g_ori = self._pair.g_ori.generator
        ws = g_ori.mapping.truncate(found[None], self._look.truncation_psi)
        persons = g_ori.draw_image(found[None]).clamp(-1, 1)
        return (coloured_latents(self._pair, self._generator, ws, persons, self._look) - ws)[0]

    def _smoothed(self, guess: Tensor, frame: FaceFrame) -> Tensor:
        if self._filter is None:
            return guess
        smooth = self._filter(guess.double().cpu().numpy() / self._unit, frame.time) * self._unit
        return torch.from_numpy(smooth).to(guess)

    def _enlarged(self, drawings: Tensor, shots: Sequence[_Shot]) -> list[Tensor]:
        chosen = [index for index, shot in enumerate(shots) if shot.enlarged]
        pictures = list(drawings.cpu())
        if chosen:
            larger = enlarge(drawings[chosen], self._upscaler, self._pair.upscaler).cpu()
            for index, picture in zip(chosen, larger, strict=True):
                pictures[index] = picture
        return pictures
