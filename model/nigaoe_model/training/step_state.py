"""Numbers that a step reads and moves beside the networks, each at one place of the device's memory.

A recorded step repeats operations on places, so what changes from step to step must lie at one: a number in Python
would be recorded as it is and never change again.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nigaoe_model.training.run_state import Progress


class StepState:
    """What a step moves: the augmentation's strength with its statistic, and the mean path length. All # [].

    Args:
        device: Where steps are computed.
        augment_p: Where the strength starts.

    Attributes:
        augment_p: Strength of the augmentation.
        sign_sum: Sum of the sign statistics since the strength last moved.
        sign_count: How many they are.
        mean_path_length: Long-term mean.
        path_length_steps: Steps that moved it.
    """

    def __init__(self, device: torch.device, augment_p: float) -> None:
        def place(value: float = 0.0) -> Tensor:
            return torch.full((), value, dtype=torch.float64, device=device)

        self.augment_p = place(augment_p)
        self.sign_sum, self.sign_count = place(), place()
        self.mean_path_length, self.path_length_steps = place(), place()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        return dict(vars(self))

    def restore(self, tensors: Mapping[str, Tensor], progress: Progress) -> None:
        """Go on from what :meth:`tensors` returned; from ``progress`` alone where an older version saved the run."""
        if not tensors:
            progress.augmenting = progress.augment_p > 0
            self.augment_p.fill_(progress.augment_p)
            self.mean_path_length.fill_(progress.mean_path_length or 0.0)
            self.path_length_steps.fill_(float(progress.mean_path_length is not None))
        for name, place in self.tensors().items():
            if name in tensors:
                place.copy_(tensors[name])

    def report(self, progress: Progress) -> None:
        """Write the present numbers into ``progress``; waits for the device."""
        progress.augment_p = float(self.augment_p)
        progress.mean_path_length = float(self.mean_path_length) if float(self.path_length_steps) else None


class Controls:
    """Numbers that the host writes to their places before a step is begun. All # [], float32.

    Filling in a number is a launch without a wait, unlike a copy from the host's memory.

    Args:
        device: Where steps are computed.

    Attributes:
        average_rate: By how much moving averages follow, one minus their decay.
        moment_weight: Factor of the moments' loss.
    """

    def __init__(self, device: torch.device) -> None:
        self.average_rate = torch.zeros((), device=device)
        self.moment_weight = torch.zeros((), device=device)


class LossMeter:
    """Sums losses on the device, so that none is waited for before a line of the log is due.

    Args:
        names: Of all losses that may come.
        device: Where steps are computed.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = tuple(names)
        self.sums = torch.zeros(2, len(self.names), device=device)  # of the values, and how many they are
        self._zero, self._one = torch.zeros((), device=device), torch.ones((), device=device)

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Take in one step's losses, each # [].

        Raises:
            KeyError: A loss has a name that was not announced.
        """
        if unknown := losses.keys() - set(self.names):
            raise KeyError(f"no loss is called {min(unknown)}")
        values = [losses[name].detach().float() if name in losses else self._zero for name in self.names]
        counts = [self._one if name in losses else self._zero for name in self.names]
        self.sums.add_(torch.stack([*values, *counts]).reshape(2, -1))

    def take(self) -> dict[str, float]:
        """Return each loss's mean since the last call, without those that never came; waits for the device."""
        values, counts = self.sums.tolist()
        self.sums.zero_()
        return {name: v / c for name, v, c in zip(self.names, values, counts, strict=True) if c}
