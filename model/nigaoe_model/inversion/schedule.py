"""How the learning rate and the noise on w run over the steps.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, appendix D: a linear warm-up, a cosine
ramp-down, and noise on w that fades with the square of the time that is left.
"""

import math

from nigaoe_model.inversion.settings import InversionSettings


def learning_rate_at(settings: InversionSettings, step: int) -> float:
    """Return the rate with which ``step`` (from 0) moves the latent, 0..``settings.learning_rate``."""
    time = (step + 1) / settings.steps
    rate = settings.learning_rate
    if settings.warm_up > 0:
        rate *= min(1.0, time / settings.warm_up)
    if settings.ramp_down > 0:
        left = min(1.0, (1.0 - time) / settings.ramp_down)
        rate *= 0.5 - 0.5 * math.cos(math.pi * left)
    return rate


def w_noise_at(settings: InversionSettings, step: int) -> float:
    """Return the standard deviation of the noise on w at ``step``, in units of w's spread.

    Step 0 draws the start itself, so that every run begins at the distance of its start.
    """
    if step == 0 or settings.w_noise == 0 or settings.w_noise_end == 0:
        return 0.0
    time = step / settings.steps
    return settings.w_noise * max(0.0, 1.0 - time / settings.w_noise_end) ** 2
