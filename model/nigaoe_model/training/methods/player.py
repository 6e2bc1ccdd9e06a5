"""One side of an adversarial game: networks that learn together by one Adam, and their moving averages."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nigaoe_model.device import preferred_layout
from nigaoe_model.training.optimisation import adam_tensors, restore_adam, update_average, with_initial_state
from nigaoe_model.training.run_state import part_of, prefixed


class Player:
    """Networks, Adam and averages. The networks need gradients only within :meth:`learning`.

    Args:
        networks: By name, on the device where steps are computed.
        rate: Adam's learning rate, read anew in each step. # [].
        betas: Adam's decays.
        averaged: Keep moving averages.

    Attributes:
        networks: Those that learn.
        averages: What is scored, shown and shipped, by the same names; empty where nothing is averaged.
    """

    def __init__(
        self, networks: Mapping[str, nn.Module], *, rate: Tensor, betas: tuple[float, float], averaged: bool
    ) -> None:
        layout = preferred_layout(rate.device)
        self.networks = {
            name: network.to(memory_format=layout).train().requires_grad_(requires_grad=False)
            for name, network in networks.items()
        }
        self.averages = {name: copy.deepcopy(n).eval() for name, n in self.networks.items()} if averaged else {}
        self._parameters = {
            f"{name}.{key}": parameter
            for name, network in self.networks.items()
            for key, parameter in network.named_parameters()
        }
        adam = torch.optim.Adam(
            list(self._parameters.values()), lr=rate, betas=betas, fused=True, capturable=rate.device.type == "cuda"
        )
        self._adam = with_initial_state(adam)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Give gradients to the networks for a while: graphs that are built meanwhile lead to their parameters."""
        self._require_gradients(required=True)
        try:
            yield
        finally:
            self._require_gradients(required=False)

    def descend(self, loss: Tensor) -> Tensor:
        """Make one Adam step, but none by a loss or gradients that are not finite: they would stay in Adam's moments.

        To be called within :meth:`learning`.

        Args:
            loss: Of a graph that was built within it, too. # [].

        Returns:
            1 for a step that was left out, else 0. # [].
        """
        self.drop_gradients()
        parameters = list(self._parameters.values())
        loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]  # PyTorch leaves backward untyped
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        broken = (~torch.isfinite(loss.detach() + norm)).float()
        self._adam.found_inf = broken  # type: ignore[attr-defined]  # as torch.amp.GradScaler tells a fused Adam
        self._adam.step()
        return broken

    def follow(self, rate: Tensor) -> None:
        """Move the averages towards the networks by ``rate``, one minus the decay. # []."""
        for name, average in self.averages.items():
            update_average(average, self.networks[name], rate)

    def drop_gradients(self) -> None:
        """Drop the gradients of the last step."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def places(self) -> Iterator[Tensor]:
        """Yield all tensors that a step writes."""
        for network in (*self.networks.values(), *self.averages.values()):
            yield from network.parameters()
            yield from network.buffers()
        for state in self._adam.state.values():
            yield from state.values()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        state: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            state |= prefixed(f"{name}.", network.state_dict())
        for name, average in self.averages.items():
            state |= prefixed(f"average.{name}.", average.state_dict())
        return state | prefixed("adam.", adam_tensors(self._adam, self._parameters))

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            RuntimeError: The tensors belong to other networks.
        """
        for name, network in self.networks.items():
            network.load_state_dict(part_of(f"{name}.", tensors))
        for name, average in self.averages.items():
            average.load_state_dict(part_of(f"average.{name}.", tensors))
        restore_adam(self._adam, self._parameters, part_of("adam.", tensors))

    def _require_gradients(self, *, required: bool) -> None:
        for parameter in self._parameters.values():
            parameter.requires_grad_(required)
