"""Whole training steps, recorded once for each kind of step and replayed from then on.

A step is some thousands of small kernels, for which Python asks more slowly than a GPU runs them. A CUDA graph asks for
all of them at once. One graph is one whole step: both networks' phases share one autograd graph, and whatever was
recorded between two halves might be given the memory of what the first half keeps for the second.

A recording repeats operations on places in memory. So everything that a step reads or moves must lie at one place for
ever, and the host only says what differs from step to step by writing there (:mod:`nigaoe_model.training.step_state`).
Random numbers are those of an eager step: a replay hands the generator's present seed to the kernels.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, Literal, TypeVar

import numpy as np
import structlog
import torch
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.inversion.graphs import Recorder, recorder_for
from nigaoe_model.inversion.tensors import Batched

Kind = TypeVar("Kind", bound=Hashable)

_log = structlog.get_logger(__name__)


class StepRecordings(Generic[Kind]):
    """Makes steps, by replaying recordings where it can.

    When recording fails, all steps are made eagerly from then on, and a warning says so.

    Args:
        body: Makes one step of a kind. It reads and writes the device's memory alone, and keeps nothing.
        recorder: Makes the recordings; None: every step is made eagerly.
        places: Returns all tensors that steps write, each always the same.
        seed: Sets the state of the random numbers of the present step.
        clean: Drops what a step leaves behind, such as gradients.
    """

    def __init__(
        self,
        body: Callable[[Kind], None],
        recorder: Recorder | None,
        *,
        places: Callable[[], Iterable[Tensor]],
        seed: Callable[[], None],
        clean: Callable[[], None],
    ) -> None:
        self._body, self._places, self._seed, self._clean = body, places, seed, clean
        self._recorder = recorder
        self._replays: dict[Kind, Callable[[], object]] = {}

    @property
    def records(self) -> bool:
        """Whether steps are recorded: there is a recorder, and it has not failed."""
        return self._recorder is not None

    def run(self, kind: Kind) -> None:
        """Make one step."""
        if self._recorder is not None and kind not in self._replays:
            self._record(kind, self._recorder)
        # Nothing may draw random numbers between the seed and the step.
        self._seed()
        replay = self._replays.get(kind)
        if replay is None:
            self._body(kind)
        else:
            replay()

    def forget(self) -> None:
        """Drop all recordings; they are made again when they are needed."""
        self._replays.clear()
        if self._recorder is not None:
            self._recorder.release()

    def _record(self, kind: Kind, recorder: Recorder) -> None:
        """Record one step. Its trial runs are steps, too, and are taken back: nothing has happened yet."""
        with torch.no_grad():  # a copy that knew its parameter would keep a graph alive, which a capture cannot meet
            kept = [place.clone() for place in self._places()]
        self._clean()
        try:
            self._replays[kind] = recorder.record(lambda: self._recorded(kind))
        except RuntimeError as error:
            self._give_up(error)
        finally:
            self._clean()
            with torch.no_grad():
                for place, before in zip(self._places(), kept, strict=True):
                    place.copy_(before)

    def _recorded(self, kind: Kind) -> Batched:
        self._body(kind)
        return Batched()  # All that a step does lies at its places.

    def _give_up(self, error: RuntimeError) -> None:
        self.forget()
        self._recorder = None
        _log.warning("training.step_graphs_given_up", reason=str(error), consequence="steps are made eagerly")


def seed_step(*numbers: int) -> None:
    """Seed PyTorch's global random numbers for one step by what names it: the run's seed, the rank, the step."""
    entropy = np.random.SeedSequence(numbers)
    torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))


def step_recorder(
    setting: Literal["auto"] | bool,  # noqa: FBT001 - the value of a setting
    device: torch.device,
    *,
    processes: int = 1,
    compiled: bool = False,
) -> Recorder | None:
    """Return what records steps on ``device``; None makes them eagerly.

    Args:
        setting: ``compute.step_graphs``; ``auto`` records wherever that is known to work.
        device: Where steps are computed.
        processes: Of the run.
        compiled: Whether ``torch.compile`` makes the main steps.

    Raises:
        TrainingError: Recording is asked for where it is impossible.
    """
    recorder = recorder_for(device) if setting else None
    obstacles = {
        "an NVIDIA GPU": recorder is None,
        "a run of one process": processes > 1,
        "compute.compile=false": compiled,
    }
    for need, missing in obstacles.items():
        if missing and setting is True:
            raise TrainingError(f"compute.step_graphs=true needs {need}; leave it at `auto`.")
    return None if any(obstacles.values()) else recorder
