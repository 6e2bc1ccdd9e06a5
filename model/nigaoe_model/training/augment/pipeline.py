"""ADA's augmentation pipeline: every move happens to every picture on its own, with probability p.

Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, appendix B, with the published
strengths. Blitting, geometry and colour ("bgc") are the paper's choice for training; filtering, noise and cutout
complete the pipeline.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from nigaoe_model.training.augment import Augmentation, colour, geometry
from nigaoe_model.training.augment.wavelets import BANDS, SYM6, low_pass, octave_bands, separable

BLIT, GEOMETRY, COLOUR, FILTER, NOISE, CUTOUT = "blit", "geometry", "colour", "filter", "noise", "cutout"
BGC = (BLIT, GEOMETRY, COLOUR)
FULL = (*BGC, FILTER, NOISE, CUTOUT)
LN2 = math.log(2)


class AdaptiveAugmentation(Augmentation):
    """Moves of the chosen groups, in the paper's order.

    Args:
        groups: Of ``FULL``.
    """

    # Expected power of natural pictures in each octave: filtering keeps their total.
    band_power: ClassVar[tuple[float, ...]] = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
    changes = True
    adaptive = True
    bands: Tensor
    power: Tensor
    taps: Tensor

    def __init__(self, groups: tuple[str, ...] = BGC) -> None:
        super().__init__()
        self.groups = frozenset(groups)
        self._resamplings: dict[tuple[int, torch.device], geometry.Resampling] = {}
        self.register_buffer("bands", octave_bands(), persistent=False)
        self.register_buffer("power", torch.tensor(self.band_power), persistent=False)
        self.register_buffer("taps", low_pass(SYM6), persistent=False)

    def forward(self, image: Tensor, p: Tensor) -> Tensor:
        """Return augmented pictures # [N, 3, R, R]; at p = 0 the same ones, but for a resampling that moves nothing."""
        if BLIT in self.groups:
            image = blit(image, p)
        if GEOMETRY in self.groups:
            image = geometry.warp(image, draw_inverse_move(image, p), self._resampling(image))
        if COLOUR in self.groups:
            image = colour.apply(image, draw_colour_move(image, p))
        if FILTER in self.groups:
            image = self._filter(image, p)
        if NOISE in self.groups:
            image = add_noise(image, p)
        return cut_out(image, p) if CUTOUT in self.groups else image

    def _resampling(self, image: Tensor) -> geometry.Resampling:
        """Return the warp's matrices for pictures of this size, which are made once."""
        key = image.shape[-1], image.device
        if key not in self._resamplings:
            self._resamplings[key] = geometry.Resampling.of(image.shape[-1], self.taps)
        return self._resamplings[key]

    def _filter(self, image: Tensor, p: Tensor) -> Tensor:
        """Amplify single octaves and keep the expected power."""
        gains = torch.ones(len(image), BANDS, device=image.device)
        for band in range(BANDS):
            single = torch.ones_like(gains)
            single[:, band] = _chosen(_lognormal(image, LN2), 1.0, p)
            gains = gains * single / (single.square() * self.power).sum(dim=1, keepdim=True).sqrt()
        taps = gains @ self.bands  # [N, taps]
        reach = self.bands.shape[1] // 2
        margin = min(reach, image.shape[-1] - 1)
        padded = torch.nn.functional.pad(image, (margin,) * 4, mode="reflect")
        spare = reach - margin
        return separable(padded, taps, before=spare, after=spare)


def blit(image: Tensor, p: Tensor) -> Tensor:
    """Mirror, turn by quarters and move by whole pixels: no pixel changes its value."""
    flipped = _chosen(torch.randint(0, 2, (len(image),), device=image.device), 0, p)
    image = torch.where(_to_pictures(flipped).bool(), image.flip(3), image)
    quarters = _chosen(torch.randint(0, 4, (len(image),), device=image.device), 0, p)
    for turns in (1, 2, 3):
        image = torch.where(_to_pictures(quarters == turns), torch.rot90(image, turns, (2, 3)), image)
    return _shifted(image, p)


def _shifted(image: Tensor, p: Tensor) -> Tensor:
    """Move by up to an eighth of the width, mirrored at the borders."""
    side = image.shape[-1]
    happens = torch.rand(len(image), device=image.device) < p
    steps = torch.arange(side, device=image.device)
    index = []
    for _ in range(2):
        moves = ((torch.rand(len(image), device=image.device) * 2 - 1) * 0.125 * side).round() * happens
        folded = (steps[None] - moves[:, None].long()) % (2 * side)
        index.append(torch.where(folded >= side, 2 * side - 1 - folded, folded))  # [N, R]
    rows, columns = index
    picture = torch.arange(len(image), device=image.device)[:, None, None]
    return image.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def draw_inverse_move(image: Tensor, p: Tensor) -> Tensor:
    """Draw scale, turn, stretch, turn and fractional shift. # [N, 3, 3]."""
    scale = _chosen(_lognormal(image, 0.2 * LN2), 1.0, p)
    stretch = _chosen(_lognormal(image, 0.2 * LN2), 1.0, p)
    # Two turns of probability 1 - sqrt(1 - p) each make one of probability p.
    p_turn = 1 - torch.sqrt(1 - p)
    before, after = (_chosen((_uniform(image) * 2 - 1) * math.pi, 0.0, p_turn) for _ in range(2))
    happens = _uniform(image) < p
    x, y = (torch.where(happens, _normal(image) * 0.125 * 2, 0.0) for _ in range(2))
    inverse = geometry.inverse_scaling(scale, scale) @ geometry.inverse_rotation(before)
    inverse = inverse @ geometry.inverse_scaling(stretch, 1 / stretch) @ geometry.inverse_rotation(after)
    return inverse @ geometry.inverse_translation(x, y)


def draw_colour_move(image: Tensor, p: Tensor) -> Tensor:
    """Draw brightness, contrast, luma flip, hue and saturation. # [N, 4, 4]."""
    matrix = colour.brightness(_chosen(_normal(image) * 0.2, 0.0, p))
    matrix = colour.contrast(_chosen(_lognormal(image, 0.5 * LN2), 1.0, p)) @ matrix
    matrix = colour.luma_flip(_chosen((_uniform(image) < 0.5).float(), 0.0, p)) @ matrix
    matrix = colour.hue(_chosen((_uniform(image) * 2 - 1) * math.pi, 0.0, p)) @ matrix
    return colour.saturation(_chosen(_lognormal(image, LN2), 1.0, p)) @ matrix


def add_noise(image: Tensor, p: Tensor) -> Tensor:
    """Add normal noise of a half-normal strength."""
    sigma = _chosen(_normal(image).abs() * 0.1, 0.0, p)
    return image + torch.randn_like(image) * _to_pictures(sigma)


def cut_out(image: Tensor, p: Tensor) -> Tensor:
    """Blacken a square of half the width around a random place."""
    side = image.shape[-1]
    size = _chosen(torch.full((len(image),), 0.5, device=image.device), 0.0, p)
    line = (torch.arange(side, device=image.device) + 0.5) / side
    outside = [(line[None] - _uniform(image)[:, None]).abs() >= size[:, None] / 2 for _ in range(2)]
    rows, columns = outside
    return image * (rows[:, :, None] | columns[:, None, :])[:, None].to(image.dtype)


def _chosen(drawn: Tensor, neutral: float, p: Tensor) -> Tensor:
    """Keep what was drawn with probability p, else do nothing. # [N]."""
    return torch.where(torch.rand(len(drawn), device=drawn.device) < p, drawn, neutral)


def _uniform(image: Tensor) -> Tensor:
    return torch.rand(len(image), device=image.device)


def _normal(image: Tensor) -> Tensor:
    return torch.randn(len(image), device=image.device)


def _lognormal(image: Tensor, sigma: float) -> Tensor:
    return torch.exp(_normal(image) * sigma)


def _to_pictures(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def updated_p(p: Tensor, sign_statistic: Tensor, target: float, images: Tensor, speed_images: int) -> Tensor:
    """Return the strength after ``images`` more images.

    ADA's feedback (section 3.1, equation 1): overfitting shows in the signs of D's answers to real pictures.

    Args:
        p: Strength so far. # [].
        sign_statistic: ``r_t = E[sign(D(real))]``; 1 is complete overfitting. # [].
        target: Value of ``r_t`` to hold.
        images: Images since the last update. # [].
        speed_images: Images in which p may go from 0 to 1.

    Returns:
        A strength in 0..1. # [].
    """
    return (p + torch.sign(sign_statistic - target) * images / speed_images).clamp(0.0, 1.0)
