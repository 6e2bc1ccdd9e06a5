"""Named settings for people who want to choose between sooner and closer."""

from collections.abc import Mapping
from typing import Final

from nigaoe_core.jobs import Preset
from nigaoe_model.inversion.settings import InversionSettings, LossWeights

PRESETS: Final[Mapping[Preset, InversionSettings]] = {
    Preset.DRAFT: InversionSettings(steps=30, beta1=0.8, beta2=0.95),
    Preset.STANDARD: InversionSettings(steps=100),
    Preset.BEST: InversionSettings(steps=400),
}

THESIS: Final = InversionSettings(
    start="mean", steps=1000, learning_rate=0.1, background=1.0, weights=LossWeights(layer_spread=0.0, mahalanobis=0.0)
)
"""Plain reverse generation as the thesis does it: the whole picture, no priors, 1,000 steps; comparisons begin here."""
