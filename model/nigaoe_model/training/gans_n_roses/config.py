"""Every setting of a training of GANs N' Roses; the defaults are those of the published training for anime faces."""

from typing import Annotated, ClassVar

from pydantic import Field

from nigaoe_model.compared.gans_n_roses_architecture import GansNRosesArchitecture
from nigaoe_model.compared.gans_n_roses_weights import GAMMA, R1_INTERVAL, LossWeights
from nigaoe_model.training.config import Fraction, Images, Positive, Weight
from nigaoe_model.training.methods.config import MethodConfig
from nigaoe_model.training.run_inputs import Section


class OptimiserSettings(Section):
    """Adam with beta1 = 0, of both sides.

    Attributes:
        learning_rate: At first, of both sides alike: the published program corrects only the discriminators' decays for
            their R1 steps, not their rate.
        beta2: Decay of the second moment.
        halve_images: Photos after which the rate halves, again and again; 0: never.
    """

    learning_rate: Positive = 2e-3
    beta2: Fraction = 0.99
    halve_images: Images = 400_000


class RegularisationSettings(Section):
    """R1 of all three discriminators.

    Attributes:
        r1_gamma: Its weight; 0 turns it off.
        r1_every: Steps from one R1 step to the next.
    """

    r1_gamma: Weight = GAMMA
    r1_every: Annotated[int, Field(ge=1)] = R1_INTERVAL


class AugmentationSettings(Section):
    """How far every picture is moved at random; content is what this changes, style is what it leaves.

    Attributes:
        degrees: Largest angle by which it is turned.
        scale: Largest factor by which it grows or shrinks, less one.
        translation: Longest shift along each axis, in sides of the picture.
        shear: Largest slant, as a slope.
        crop: Margin that is cut off at random, in sides of the picture: it is enlarged by so much first.
    """

    degrees: Annotated[float, Field(ge=0, le=180)] = 20.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.2
    translation: Fraction = 0.1
    shear: Fraction = 0.15
    crop: Fraction = 0.117


class AverageSettings(Section):
    """Moving average of both generators.

    Attributes:
        decay: Share of itself that the average keeps in a step.
    """

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.999


class GansNRosesConfig(MethodConfig):
    """A whole run.

    Attributes:
        architecture: Shape of the networks.
        batch: Augmentations of one picture, and different pictures of each domain, in a step.
        weights: Of the generators' losses.
    """

    presets: ClassVar[tuple[str, ...]] = ("gans-n-roses64", "gans-n-roses128", "gans-n-roses64-cpu")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] = "gans-n-roses"
    architecture: GansNRosesArchitecture
    total_images: Annotated[int, Field(gt=0)] = 1_200_000
    batch: Annotated[int, Field(ge=2)] = 4
    optimiser: OptimiserSettings = OptimiserSettings()
    regularisation: RegularisationSettings = RegularisationSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    weights: LossWeights = LossWeights()
    average: AverageSettings = AverageSettings()

    @property
    def resolution(self) -> int:
        """Side of the pictures in pixels."""
        return self.architecture.size
