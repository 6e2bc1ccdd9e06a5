"""The losses of StyleGAN2, side by side.

Goodfellow et al. 2014 (non-saturating loss), Mescheder et al. 2018 (R1), Karras et al. 2020 (path length regularisation
and its lazy application). All return a scalar.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating loss ``-log sigmoid(D(fake))``. ``fake_logits`` # [N, 1]."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss ``-log sigmoid(D(real)) - log(1 - sigmoid(D(fake)))``. Both # [N, 1]."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def r1_penalty(real_logits: Tensor, real: Tensor) -> Tensor:
    """Mean over samples of ``|grad_x D(x)|^2`` (Mescheder et al. 2018, equation 9, without gamma / 2).

    Args:
        real_logits: D(real). # [N, 1].
        real: With gradient. # [N, 3, R, R].
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(image: Tensor, ws: Tensor, direction: Tensor) -> Tensor:
    """Return ``|J_w^T y|`` for each sample (Karras et al. 2020, equation 4). # [N].

    Args:
        image: G(ws). # [N, 3, R, R].
        ws: With gradient. # [N, num_ws, w_dim]; lengths are averaged (squared) over layers.
        direction: Normal noise y. # [N, 3, R, R].
    """
    scaled = direction / math.sqrt(image.shape[2] * image.shape[3])
    (gradient,) = torch.autograd.grad((image * scaled).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(lengths: Tensor, mean_length: Tensor) -> Tensor:
    """Mean squared distance of ``lengths`` # [N] from their long-term mean ``a`` # []."""
    return (lengths - mean_length).square().mean()


def lazy_adam(lr: float, beta2: float, every: int) -> tuple[float, tuple[float, float]]:
    """Return learning rate and betas for a network whose penalty is applied every ``every`` steps.

    With ``c = every / (every + 1)`` they become ``c * lr`` and ``beta ** c`` (Karras et al. 2020, appendix B), because
    the penalty's own step makes ``every + 1`` updates of ``every``. ``every = 0`` means no penalty.
    """
    c = every / (every + 1) if every else 1.0
    return lr * c, (0.0, beta2**c)
