"""Starts of searches: the mean face, the encoder's guess, or one that the request brings.

A guess is made, and compared with the mean face, for each request alone at its admission, so that neighbours in the
batch never change an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
import torch
from torch import Tensor

from nigaoe_model.device_errors import DeviceTrouble, device_trouble
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.batch import Target
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.graphs import Recorder
from nigaoe_model.inversion.request import InversionRequest, StartOrigin
from nigaoe_model.inversion.tensors import Batched
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Start of one search.

    Attributes:
        w_plus: # [num_ws, w_dim].
        origin: Where it comes from.
    """

    w_plus: Tensor
    origin: StartOrigin


@dataclass(frozen=True, slots=True, eq=False)
class Candidates(Batched):
    """One photo and its two possible starts.

    Attributes:
        target: The photo with its features.
        guess: The encoder's. # [1, num_ws, w_dim].
        distances: Reported distances of mean face and guess. # [2].
    """

    target: Target
    guess: Tensor
    distances: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Recording:
    """A recorded evaluation of candidates: the buffers that it reads, and its replay."""

    image: Tensor
    region: Tensor
    replay: Callable[[], Candidates]

    def evaluate(self, image: Tensor, region: Tensor) -> Candidates:
        self.image.copy_(image)
        self.region.copy_(region)
        return self.replay()


class Starter:
    """Describes photos and chooses starts for one generator.

    Args:
        synthesis: Generates the picture of a guess.
        objective: Measures it; gives the mean face, and the encoder if there is one.
        recorder: Records the evaluation of a photo's candidates, the same work for each photo; None: it is not
            recorded.
    """

    def __init__(self, synthesis: FrozenSynthesis, objective: Objective, recorder: Recorder | None = None) -> None:
        self._synthesis = synthesis
        self._objective = objective
        self._recorder = recorder  # None from the first recording on
        self._recording: _Recording | None = None
        self._mean_image: Tensor | None = None

    @torch.no_grad()
    def begin(self, request: InversionRequest) -> tuple[Target, Start]:
        """Describe a request's photo, and return its own start, or what its settings ask for.

        `auto` takes whichever of mean face and guess has the smaller reported distance.

        Args:
            request: Whose search begins.

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
        candidates = self._candidates(encoder, image, region)
        mean_face, guessed = candidates.distances.tolist()
        if choice == "encoder" or guessed < mean_face:  # A guess that is no number is not nearer.
            return candidates.target, Start(candidates.guess[0], "encoder")
        return candidates.target, Start(mean, "mean")

    def _candidates(self, encoder: Encoder, image: Tensor, region: Tensor) -> Candidates:
        if self._recorder is not None:
            self._recording = self._record(self._recorder, encoder, image, region)
            self._recorder = None
        if self._recording is None:
            return self._evaluate(encoder, image, region)
        return self._recording.evaluate(image, region)

    def _record(self, recorder: Recorder, encoder: Encoder, image: Tensor, region: Tensor) -> _Recording | None:
        """Record the evaluation of what two buffers contain; where that fails, every evaluation is eager."""
        image, region = image.clone(), region.clone()
        self._mean_picture()  # Once and for all, not at every replay.
        try:
            return _Recording(image, region, recorder.record(lambda: self._evaluate(encoder, image, region)))
        except RuntimeError as error:
            recorder.release()
            if device_trouble(error) is DeviceTrouble.LOST:
                raise
            _log.warning("start_graph.given_up", reason=str(error))
            return None

    def _evaluate(self, encoder: Encoder, image: Tensor, region: Tensor) -> Candidates:
        target = self._objective.describe(image, region)
        guess = encoder(image)
        both = torch.cat([self._mean_picture(), self._synthesis(guess)])  # A pair is evaluated as fast as one alone.
        pair = target.map(lambda column: column.expand(2, *column.shape[1:]))
        return Candidates(target, guess, self._objective.distance(both, pair))

    def _mean_picture(self) -> Tensor:
        if self._mean_image is None:
            self._mean_image = self._synthesis(self._objective.prior.mean[None])
        return self._mean_image
