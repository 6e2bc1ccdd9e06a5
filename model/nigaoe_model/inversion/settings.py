"""Settings of one inversion as validated, frozen data, and their presets.

The vocabulary is the official projector's (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN",
2020, appendix D): a learning rate with warm-up and cosine ramp-down, noise on w that fades, a budget of steps.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nigaoe_core.jobs import Preset

Space = Literal["w", "w_plus"]
NoiseMaps = Literal["fixed", "optimised"]
StartChoice = Literal["auto", "mean", "encoder"]

_Share = Annotated[float, Field(ge=0, le=1)]
_Decay = Annotated[float, Field(ge=0, lt=1)]
_Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LossWeights(_Frozen):
    """Factor of every term of the objective; 0 leaves the term out, and its cost with it.

    Attributes:
        perceptual: EfficientNet-Lite0 feature distance.
        pixel: Mean absolute difference of colours, smoothed at zero.
        discriminator: Discriminator feature distance; needs an objective with a discriminator.
        layer_spread: Mean squared distance of w_plus from w, its mean over layers, in units of w's spread.
        mahalanobis: Mean squared Mahalanobis distance of w_plus from the mean face, per dimension.
        in_domain: Mean squared distance of w_plus from what the encoder guesses of its picture, in units of w's
            variance; needs an objective with an encoder.
        noise: Regularisation of optimised noise maps.
    """

    perceptual: _Weight = 1.0
    pixel: _Weight = 0.5
    discriminator: _Weight = 0.0
    layer_spread: _Weight = 0.02
    mahalanobis: _Weight = 0.05
    in_domain: _Weight = 0.0
    noise: _Weight = 1e5

    @model_validator(mode="after")
    def _compares_pictures(self) -> Self:
        if not (self.perceptual or self.pixel or self.discriminator):
            raise ValueError("at least one of perceptual, pixel and discriminator needs a weight")
        return self


class Plateau(_Frozen):
    """Stop when the best distance fell by less than ``epsilon`` (relative) over the last ``window`` steps."""

    window: Annotated[int, Field(ge=1)] = 50
    epsilon: Annotated[float, Field(ge=0, lt=1)] = 0.005


class InversionSettings(_Frozen):
    """Settings of one search: objective, optimiser and stop rules.

    Attributes:
        space: ``w``: one style for all layers; ``w_plus``: one a layer.
        noise_maps: ``fixed``: the generator's own; ``optimised``: drawn from the seed and optimised with the latent.
        start: ``mean``: the mean face; ``encoder``: the encoder's guess; ``auto``: whichever of both is nearer, and the
            mean face where there is no encoder.
        steps: Budget. A step evaluates the iterate and moves it; step 0 evaluates the start. Without any the encoder's
            guess is the answer, see `nigaoe_model.portrait.instant`.
        learning_rate: Peak of Adam's rate, in units of w's root mean square standard deviation.
        beta1: Decay of Adam's first moment.
        beta2: Decay of its second. A search of few steps is nearer with shorter memories than Adam's usual ones.
        warm_up: Share of the steps over which the rate rises from zero.
        ramp_down: Share of the steps over which it falls to zero along a cosine.
        w_noise: Standard deviation of the noise on w at the start, in units of w's spread.
        w_noise_end: Share of the steps after which that noise has faded to zero.
        weights: Terms of the objective.
        background: Weight of pixels off the head against those of head and hair; 1 weighs the whole picture alike.
        target_distance: Stop when the reported distance is this small.
        plateau: Stop when nothing improves any more.
    """

    space: Space = "w_plus"
    noise_maps: NoiseMaps = "fixed"
    start: StartChoice = "auto"
    steps: Annotated[int, Field(ge=0, le=100_000)] = 100
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.2
    beta1: _Decay = 0.9
    beta2: _Decay = 0.999
    warm_up: _Share = 0.05
    ramp_down: _Share = 0.25
    w_noise: _Weight = 0.0
    w_noise_end: _Share = 0.75
    weights: LossWeights = LossWeights()
    background: _Share = 1.0
    target_distance: _Weight | None = None
    plateau: Plateau | None = None

    @model_validator(mode="after")
    def _has_an_answer(self) -> Self:
        if not self.steps and self.start != "encoder":
            raise ValueError("without steps only an encoder's guess can be drawn: `start` must be `encoder`")
        return self


PRESETS: Final[Mapping[Preset, InversionSettings]] = {
    Preset.INSTANT: InversionSettings(start="encoder", steps=0, beta1=0.8, beta2=0.95),
    Preset.DRAFT: InversionSettings(steps=20, beta1=0.8, beta2=0.95),
    Preset.STANDARD: InversionSettings(steps=40),
    Preset.BEST: InversionSettings(steps=200),
}

THESIS: Final = InversionSettings(
    start="mean", steps=1000, learning_rate=0.1, background=1.0, weights=LossWeights(layer_spread=0.0, mahalanobis=0.0)
)
"""Plain reverse generation as the thesis does it: the whole picture, no priors, 1,000 steps; comparisons begin here."""
