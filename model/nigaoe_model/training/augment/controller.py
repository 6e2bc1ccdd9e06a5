"""ADA's feedback: overfitting shows in the signs of D's answers to real pictures.

Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, section 3.1, equation 1.
"""

import torch
from torch import Tensor


def updated_p(p: Tensor, sign_statistic: Tensor, target: float, images: Tensor, speed_images: int) -> Tensor:
    """Return the strength after ``images`` more images.

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
