"""What the driver asks of a method: one step, drawings, and a file.

Two methods answer: :mod:`nigaoe_model.training.gans_n_roses` and :mod:`nigaoe_model.training.swapping_autoencoder`.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from nigaoe_model.compared.method_card import MethodCard
from nigaoe_model.training.run_state import Progress
from nigaoe_model.training.step_state import LossMeter

BROKEN = "broken"
"""Loss of 1 in a step that was left out because a number was not finite."""


class MethodStep(Protocol):
    """Networks, optimisers and the computation that moves them once.

    Attributes:
        losses: Of the steps since they were last taken; :data:`BROKEN` is one of them.
    """

    losses: LossMeter

    def begin(self, progress: Progress) -> Hashable:
        """Bring the next pictures and rates to their places on the device.

        Returns:
            The kind of the step; each kind is recorded once.
        """

    def make(self, kind: Hashable) -> None:
        """Make one step of a kind: it reads and writes the device's memory alone and keeps nothing.

        Random numbers are those of PyTorch's global generator, which is seeded by the step.
        """

    def places(self) -> Iterator[Tensor]:
        """Yield all tensors that a step writes."""

    def drop_gradients(self) -> None:
        """Drop the gradients of the last step."""

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned.

        Raises:
            RuntimeError: The tensors belong to other networks.
        """

    def draw(self, photos: Tensor, anime: Tensor, seeds: Sequence[int]) -> Tensor:
        """Draw photos as anime faces by what would be shipped.

        Args:
            photos: # [N, 3, R, R] in [-1, 1].
            anime: A reference for each, where the method takes its style from one. # [N, 3, R, R] in [-1, 1].
            seeds: Of each drawing, where the method draws its style.

        Returns:
            # [N, 3, R, R] in [-1, 1].
        """

    def sheet(self, photos: Tensor, anime: Tensor) -> Tensor:
        """Return one row a photo for people to look at. Both # [N, 3, R, R]; returns # [N, columns, 3, R, R]."""

    def write(self, path: Path, about: MethodCard) -> None:
        """Write a slim checkpoint, fp16.

        Args:
            path: Target; an existing file is replaced only by a complete one.
            about: What its card says beside the architecture; its kind is the method's.
        """
