"""An encoder while it learns, beside a generator or after it: network, Adam, moving average."""

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from nigaoe_model.device import preferred_layout
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.training.optimisation import adam_tensors, restore_adam, update_average, with_initial_state
from nigaoe_model.training.run_state import part_of, prefixed

CLIP_NORM = 1.0
"""Longest gradient: one odd picture must not throw the network."""


class EncoderLearner:
    """What a step moves of an encoder.

    Args:
        encoder: On the device where steps are computed.
        dtype: The type that it computes in.
        rate: Adam's learning rate; a tensor # [] is read anew in each step.
        beta2: Adam's decay of the second moment.

    Attributes:
        network: The one that gets gradients.
        average: Its moving average.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype, *, rate: float | Tensor, beta2: float = 0.99) -> None:
        device = encoder.mean.device
        encoder = encoder.to(memory_format=preferred_layout(device))
        self.network = encoder.train().requires_grad_(requires_grad=True)
        self.average = copy.deepcopy(encoder).eval().requires_grad_(requires_grad=False)
        adam = torch.optim.Adam(
            self.network.parameters(), lr=rate, betas=(0.9, beta2), fused=True, capturable=device.type == "cuda"
        )
        self.adam = with_initial_state(adam)
        self._dtype, self._device = dtype, device.type

    def guess(self, images: Tensor) -> Tensor:
        """Guess latents # [N, num_ws, w_dim] of images # [N, 3, R, R] in [-1, 1]."""
        with torch.autocast(self._device, self._dtype, enabled=self._dtype != torch.float32):
            guessed: Tensor = self.network(images)
        return guessed.float()

    def move(self, average_rate: Tensor) -> None:
        """Move the network by its gradients, clipped, and the average after it.

        Args:
            average_rate: By how much the average follows. # [].
        """
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        self.adam.step()
        update_average(self.average, self.network, average_rate)

    def places(self) -> Iterator[Tensor]:
        """Yield all tensors that a step writes."""
        for network in (self.network, self.average):
            yield from network.parameters()
            yield from network.buffers()
        for state in self.adam.state.values():
            yield from state.values()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        state = prefixed("encoder.", self.network.state_dict()) | prefixed("average.", self.average.state_dict())
        return state | prefixed("adam.", adam_tensors(self.adam, self._names()))

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            RuntimeError: The tensors belong to another encoder.
        """
        self.network.load_state_dict(part_of("encoder.", tensors))
        self.average.load_state_dict(part_of("average.", tensors))
        restore_adam(self.adam, self._names(), part_of("adam.", tensors))

    def _names(self) -> list[str]:
        return [name for name, _ in self.network.named_parameters()]
