"""Where a slot begins: at the mean face, at the encoder's guess, or where the request says.

A guess is made, and compared with the mean face, for each request alone at its admission, so that neighbours in the
batch never change an answer.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.frozen.synthesis import FrozenSynthesis
from model.inversion.objective import Objective, Target
from model.inversion.request import InversionRequest, StartOrigin


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where one slot begins.

    Attributes:
        w_plus: # [num_ws, w_dim].
        origin: Where it comes from.
    """

    w_plus: Tensor
    origin: StartOrigin


class Starter:
    """Chooses starts for one generator.

    Args:
        synthesis: Draws a guess, to see how far it is.
        objective: Says how far; knows the mean face, and the encoder if there is one.
    """

    def __init__(self, synthesis: FrozenSynthesis, objective: Objective) -> None:
        self._synthesis = synthesis
        self._objective = objective
        self._mean_image: Tensor | None = None

    @torch.no_grad()
    def choose(self, request: InversionRequest, target: Target) -> Start:
        """Return the request's own start, or what its settings ask for.

        `auto` takes whichever of mean face and guess has the smaller reported distance.

        Args:
            request: Whose slot begins.
            target: Its picture, as the objective described it.
        """
        mean, encoder = self._objective.prior.mean, self._objective.encoder
        if request.start is not None:
            return Start(request.start, "given")
        if request.settings.start == "mean" or encoder is None:
            return Start(mean, "mean")
        guess = encoder(target.image)  # [1, num_ws, w_dim]
        if request.settings.start == "auto" and not self._is_nearer(guess, target):
            return Start(mean, "mean")
        return Start(guess[0], "encoder")

    def _is_nearer(self, guess: Tensor, target: Target) -> bool:
        if self._mean_image is None:
            self._mean_image = self._synthesis(self._objective.prior.mean[None])
        both = torch.cat([self._mean_image, self._synthesis(guess)])  # A pair is looked at as fast as one alone.
        pair = target.map(lambda column: column.expand(2, *column.shape[1:]))
        mean_face, guessed = self._objective.distance(both, pair)
        return bool(guessed < mean_face)  # A guess that is no number is not nearer.
