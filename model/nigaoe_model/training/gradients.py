"""Gradients of many parameters, treated as one flat vector: two launches instead of two a parameter."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from nigaoe_model.training.distributed import Team


def share_gradients(parameters: Iterable[nn.Parameter], team: Team, *, bound: float) -> None:
    """Replace gradients by their means over the team, and what is not finite by something that does no harm.

    A single overflow in half precision must not poison Adam's moments.

    Args:
        parameters: Those without a gradient stay without.
        team: Processes of the run, in which the same parameters have gradients.
        bound: What infinity becomes, with its sign; not a number becomes 0.
    """
    learning = [parameter for parameter in parameters if parameter.grad is not None]
    if not learning:
        return
    flat = team.mean(torch.cat([_as_it_lies(parameter) for parameter in learning]))
    torch.nan_to_num(flat, nan=0.0, posinf=bound, neginf=-bound, out=flat)
    parts = torch.split(flat, [parameter.numel() for parameter in learning])
    for parameter, part in zip(learning, parts, strict=True):
        parameter.grad = part.as_strided(parameter.shape, parameter.stride())


def _as_it_lies(parameter: nn.Parameter) -> Tensor:
    """Return the gradient in the order in which its *parameter* lies in memory. # [numel].

    A fused optimiser walks through both side by side and looks at no strides.
    """
    gradient = parameter.grad
    assert gradient is not None  # noqa: S101 - the caller left the others out
    if gradient.stride() != parameter.stride():
        gradient = torch.empty_like(parameter).copy_(gradient)
    return gradient.detach().as_strided((parameter.numel(),), (1,))
