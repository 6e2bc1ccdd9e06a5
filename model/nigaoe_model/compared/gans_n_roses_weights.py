"""The weights of GANs N' Roses's losses, without the losses: whoever only prints settings needs no torch.

Chong & Forsyth, "GANs N' Roses: Stable, Controllable, Diverse Image to Image Translation", 2021.
"""

from pydantic import BaseModel, ConfigDict, NonNegativeFloat

GAMMA = 10.0
"""Weight of R1."""

R1_INTERVAL = 16
"""Steps from one R1 penalty to the next."""


class LossWeights(BaseModel):
    """Factors on the generators' terms; the defaults are those of the published training for anime faces.

    Attributes:
        adversarial: Drawings are taken for real.
        style_adversarial: Codes that are read are taken for codes that are drawn.
        style_consistency: All augmentations of one picture have the same style.
        cycle: There and back again, every pixel is as it was.
        feature_distance: There and back again, the features are as they were; published for LPIPS.
        style_reconstruction: The style of a drawing is the one it was drawn with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    adversarial: NonNegativeFloat = 1.0
    style_adversarial: NonNegativeFloat = 2.0
    style_consistency: NonNegativeFloat = 50.0
    cycle: NonNegativeFloat = 20.0
    feature_distance: NonNegativeFloat = 10.0
    style_reconstruction: NonNegativeFloat = 5.0
