"""How the terms of the Swapping Autoencoder weigh and how its patches are cut; nothing here imports torch.

Park et al., "Swapping Autoencoder for Deep Image Manipulation", 2020: section 3, appendix A, and the paper's program.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator


class LossWeights(BaseModel):
    """Weights of the terms; the defaults are the paper's program's.

    Attributes:
        reconstruction: L1 between pictures and their reconstructions.
        reconstruction_fake: Adversarial, of reconstructions, on both sides.
        mix_fake: Adversarial, of swapped pictures, in the discriminator.
        mix_drawn: Adversarial, of swapped pictures, in the generator.
        patches: Of the patch co-occurrence discriminator, on both sides.
        r1_gamma: R1 of pictures is half of it times the squared gradient.
        patch_r1_gamma: R1 of patches is a quarter of it times both squared gradients: of crops and of references.
        r1_every: Discriminator steps from one R1 to the next; it counts that many times as much.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reconstruction: NonNegativeFloat = 1.0
    reconstruction_fake: NonNegativeFloat = 0.5
    mix_fake: NonNegativeFloat = 0.5
    mix_drawn: NonNegativeFloat = 1.0
    patches: NonNegativeFloat = 1.0
    r1_gamma: NonNegativeFloat = 10.0
    patch_r1_gamma: NonNegativeFloat = 1.0
    r1_every: PositiveInt = 16


ROSINALITY_WEIGHTS = LossWeights(reconstruction_fake=1.0, mix_fake=1.0, mix_drawn=1.0)
"""All fakes weigh one in rosinality's program."""


class CropSettings(BaseModel):
    """How patches are cut.

    Attributes:
        count: Patches of a picture.
        min_scale: Shortest side of a crop, in sides of the picture.
        max_scale: Longest side; each axis has its own.
        size: Side to which crops are resampled, in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: PositiveInt = 8
    min_scale: Annotated[float, Field(gt=0, le=1)] = 1 / 8
    max_scale: Annotated[float, Field(gt=0, le=1)] = 1 / 4
    size: PositiveInt = 128

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_scale > self.max_scale:
            raise ValueError(f"min_scale is {self.min_scale:g}, above max_scale {self.max_scale:g}")
        return self


SHRUNK_CROPS = CropSettings(min_scale=1 / 4, max_scale=1 / 2, size=32)
"""For pictures of 64 pixels, of which an eighth would be 8 pixels."""
