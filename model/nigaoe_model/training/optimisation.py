"""Adam as a recorded step needs it, gradients shared by processes, and the moving average of the weights.

The moving average is what is scored, shown and shipped.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from nigaoe_model.training.distributed import Team


def with_initial_state(optimiser: torch.optim.Adam) -> torch.optim.Adam:
    """Give every parameter Adam's state before its first gradient, all zero as Adam itself would make it.

    From then on moments and counts stay where they are, so that a recorded step finds them. They lie in memory as their
    parameters do: a fused step walks through both side by side and ignores strides.
    """
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if not optimiser.state[parameter]:
                counted_on = parameter.device if group["fused"] or group["capturable"] else torch.device("cpu")
                optimiser.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32, device=counted_on),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }
    return optimiser


def adam_tensors(optimiser: torch.optim.Adam, names: Iterable[str]) -> dict[str, Tensor]:
    """Return Adam's moments and step counts by parameter name."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    states = ((name, optimiser.state.get(parameter, {})) for name, parameter in zip(names, parameters, strict=True))
    return {f"{name}.{key}": tensor for name, state in states for key, tensor in state.items()}


@torch.no_grad()
def restore_adam(optimiser: torch.optim.Adam, names: Iterable[str], tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser over the parameters ``names`` what :func:`adam_tensors` returned, each tensor in its place.

    Parameters that the tensors do not know begin anew.

    Raises:
        RuntimeError: A tensor has another shape than its parameter.
    """
    parameters = [parameter for group in with_initial_state(optimiser).param_groups for parameter in group["params"]]
    for name, parameter in zip(names, parameters, strict=True):
        for key, place in optimiser.state[parameter].items():
            found = tensors.get(f"{name}.{key}")
            place.zero_() if found is None else place.copy_(found)


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

    A fused optimiser walks through both side by side and ignores strides.
    """
    gradient = parameter.grad
    assert gradient is not None  # noqa: S101 - the caller left the others out
    if gradient.stride() != parameter.stride():
        gradient = torch.empty_like(parameter).copy_(gradient)
    return gradient.detach().as_strided((parameter.numel(),), (1,))


def ema_decay(batch: int, halflife_images: float, images_seen: int, rampup: float) -> float:
    """Return the factor by which the average keeps itself in one step.

    Args:
        batch: Images a step.
        halflife_images: Images after which a weight counts half.
        images_seen: Images of the run so far.
        rampup: The half-life is at most this share of ``images_seen``; 0 turns the ramp off.
    """
    if rampup > 0:
        halflife_images = min(halflife_images, images_seen * rampup)
    return float(0.5 ** (batch / max(halflife_images, 1e-8)))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, rate: Tensor, names: frozenset[str] | None = None) -> None:
    """Move ``average`` towards ``network``.

    Args:
        average: Changed in place.
        network: Same architecture.
        rate: Result is ``average + rate * (network - average)``; one minus the decay. # [].
        names: Parameters that learn; the others, and then all buffers too, are not touched. None: all of them.
    """
    source = dict(network.named_parameters())
    learning = [name for name in source if names is None or name in names]
    mean = dict(average.named_parameters())
    _move([mean[name] for name in learning], [source[name] for name in learning], rate)
    if names is None:
        buffers = dict(network.named_buffers())
        pairs = [(buffer, buffers[name]) for name, buffer in average.named_buffers()]
        if pairs:
            torch._foreach_copy_([buffer for buffer, _ in pairs], [found for _, found in pairs])


def _move(average: list[Tensor], network: list[Tensor], rate: Tensor) -> None:
    if rate.device.type == "cpu":  # Three passes over the memory for the sake of few calls pay on a GPU only.
        for mean, value in zip(average, network, strict=True):
            mean.lerp_(value, rate)
        return
    differences = torch._foreach_sub(network, average)  # noqa: SLF001 - torch.optim's own way to few launches
    torch._foreach_mul_(differences, rate)
    torch._foreach_add_(average, differences)
