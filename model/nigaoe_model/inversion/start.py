"""Where a slot begins: at the mean face, at the encoder's guess, or where the request says.

A guess is made, and compared with the mean face, for each request alone at its admission, so that neighbours in the
batch never change an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
import torch
from torch import Tensor

from nigaoe_model.device_errors import DeviceTrouble, device_trouble
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.objective import Objective, Target
from nigaoe_model.inversion.request import InversionRequest, StartOrigin
from nigaoe_model.inversion.step_graphs import Recorder
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where one slot begins.

    Attributes:
        w_plus: # [num_ws, w_dim].
        origin: Where it comes from.
    """

    w_plus: Tensor
    origin: StartOrigin


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What one photo looks like, and how near two starts are to it.

    Attributes:
        target: The photo, as the objective describes it.
        guess: The encoder's. # [1, num_ws, w_dim].
        distances: Reported distances of mean face and guess. # [2].
    """

    target: Target
    guess: Tensor
    distances: Tensor

    @property
    def columns(self) -> list[Tensor]:
        """All tensors in a fixed order."""
        return [*self.target.columns, self.guess, self.distances]


@dataclass(frozen=True, slots=True, eq=False)
class _Recording:
    """A recorded look: the places that it reads, and what reads them."""

    image: Tensor
    region: Tensor
    replay: Callable[[], Sighting]

    def look(self, image: Tensor, region: Tensor) -> Sighting:
        self.image.copy_(image)
        self.region.copy_(region)
        return self.replay()


class Starter:
    """Describes photos and chooses starts for one generator.

    Args:
        synthesis: Draws a guess, to see how far it is.
        objective: Says how far; knows the mean face, and the encoder if there is one.
        recorder: Records the look at a photo, the same work for each, so that it can be replayed; None: it is not.
    """

    def __init__(self, synthesis: FrozenSynthesis, objective: Objective, recorder: Recorder | None = None) -> None:
        self._synthesis = synthesis
        self._objective = objective
        self._recorder = recorder  # None from the first look on
        self._recording: _Recording | None = None
        self._mean_image: Tensor | None = None

    @torch.no_grad()
    def begin(self, request: InversionRequest) -> tuple[Target, Start]:
        """Describe a request's photo, and return its own start, or what its settings ask for.

        `auto` takes whichever of mean face and guess has the smaller reported distance.

        Args:
            request: Whose slot begins.

        Returns:
            One sample, and where it starts; the next call may write over both.
        """
        mean, choice = self._objective.prior.mean, request.settings.start
        image = request.target[None].to(mean)
        region = torch.ones_like(image[:, :1]) if request.region is None else request.region[None].to(mean)
        encoder = self._objective.encoder
        if request.start is not None:
            return self._objective.describe(image, region), Start(request.start, "given")
        if choice == "mean" or encoder is None:
            return self._objective.describe(image, region), Start(mean, "mean")
        seen = self._look(encoder, image, region)
        mean_face, guessed = seen.distances.tolist()
        if choice == "encoder" or guessed < mean_face:  # A guess that is no number is not nearer.
            return seen.target, Start(seen.guess[0], "encoder")
        return seen.target, Start(mean, "mean")

    def _look(self, encoder: Encoder, image: Tensor, region: Tensor) -> Sighting:
        if self._recorder is not None:
            self._recording = self._recorded(self._recorder, encoder, image, region)
            self._recorder = None
        if self._recording is None:
            return self._sight(encoder, image, region)
        return self._recording.look(image, region)

    def _recorded(self, recorder: Recorder, encoder: Encoder, image: Tensor, region: Tensor) -> _Recording | None:
        """Record the look at whatever lies in two places; where that fails, every look is made anew."""
        image, region = image.clone(), region.clone()
        self._drawn_mean()  # Once and for all, not at every replay.
        try:
            return _Recording(image, region, recorder.record(lambda: self._sight(encoder, image, region)))
        except RuntimeError as error:
            recorder.forget()
            if device_trouble(error) is DeviceTrouble.LOST:
                raise
            _log.warning("start_graph.given_up", reason=str(error))
            return None

    def _sight(self, encoder: Encoder, image: Tensor, region: Tensor) -> Sighting:
        target = self._objective.describe(image, region)
        guess = encoder(image)
        both = torch.cat([self._drawn_mean(), self._synthesis(guess)])  # A pair is looked at as fast as one alone.
        pair = target.map(lambda column: column.expand(2, *column.shape[1:]))
        return Sighting(target, guess, self._objective.distance(both, pair))

    def _drawn_mean(self) -> Tensor:
        if self._mean_image is None:
            self._mean_image = self._synthesis(self._objective.prior.mean[None])
        return self._mean_image
