"""Several processes train one network: gradients are averaged once a step.

Started by ``torchrun``, which names rank and size in the environment. Averaging by hand instead of
``DistributedDataParallel`` keeps double backward (R1, path length) free of hooks. On a CPU two processes of one thread
each meet once a step, where two threads of one process meet after every operation.
"""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from nigaoe_core.errors import TrainingError

_FAILURE: Final = "nigaoe-failure"
_POLL_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 5.0
_RESUME: Final = "What was saved goes on with `--resume-from`."
_GONE: Final = f"Another process of this run is gone, so this one stops, too. {_RESUME}"


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a run.

    Attributes:
        rank: Number of this process; 0 writes files.
        size: Number of processes.
        device: Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a detached tensor over all processes.

        Raises:
            TrainingError: Another process is gone.
        """
        if self.size == 1:
            return value
        total = value.detach().clone()
        with _peers_needed():
            dist.all_reduce(total)
        return total / self.size

    def means(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the means of several detached tensors, of one type, in one exchange."""
        if self.size == 1:
            return list(values)
        flat = self.mean(torch.cat([value.reshape(-1) for value in values]))
        parts = torch.split(flat, [value.numel() for value in values])
        return [part.view_as(value) for part, value in zip(parts, values, strict=True)]

    def gather(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows of all processes, one process after the other. # [n, F] -> [all n, F]."""
        if self.size == 1:
            return rows
        parts: list[NDArray[np.float64]] = [rows] * self.size
        with _peers_needed():
            dist.all_gather_object(parts, rows)
        return np.concatenate(parts)

    def agree(self, flag: bool) -> bool:  # noqa: FBT001 - the flag is the value itself
        """Return whether any process raised its flag."""
        if self.size == 1:
            return flag
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            with _peers_needed():
                dist.barrier()

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def joined_team(device: str) -> Iterator[Team]:
    """Join the group that ``torchrun`` started, for a while; alone without it.

    When one process fails, the others fail, too, within seconds: each writes to the group's store why it gives up,
    and a thread of each reads there. Otherwise the others would wait, some half an hour, for a gradient that never
    comes.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        TrainingError: Another process failed.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    team = Team(rank, size, place)
    if size == 1:
        yield team
        return
    store, _, _ = next(rendezvous("env://"))
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo", store=store, rank=rank, world_size=size)
    watch = FailureWatch(store.clone(), rank)
    try:
        yield team
    except BaseException as error:
        watch.post(error)
        if reason := watch.failure_of_another():
            raise TrainingError(reason) from error
        raise
    finally:
        watch.stop()
        team.close()


class KeyValueStore(Protocol):
    """What is used of ``torch.distributed.Store``, which PyTorch's own types do not export."""

    def check(self, keys: list[str], /) -> bool:
        """Return whether all of these are there."""

    def get(self, key: str, /) -> bytes:
        """Return a value."""

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
        """Write a value where there is none, or ``expected``."""


class FailureWatch:
    """Reports to the other processes of a run that this one failed, and ends this one soon after another did.

    Args:
        store: Shared by all processes; used by this object alone.
        rank: This process.
    """

    def __init__(self, store: KeyValueStore, rank: int) -> None:
        self._store, self._rank = store, rank
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._poll, name="failure-watch", daemon=True)
        self._thread.start()

    def post(self, error: BaseException) -> None:
        """Write why this process gives up, unless another one was first."""
        with suppress(RuntimeError), self._lock:  # The store may have gone with the process that kept it.
            self._store.compare_set(_FAILURE, "", f"{self._rank}:{type(error).__name__}: {error}")

    def failure_of_another(self) -> str | None:
        """Return a sentence about the process that failed first; None where it is this one, or none failed."""
        try:
            with self._lock:
                if not self._store.check([_FAILURE]):
                    return None
                rank, _, reason = self._store.get(_FAILURE).decode().partition(":")
        except RuntimeError:
            return _GONE
        if int(rank) == self._rank:
            return None
        return f"Process {rank} of this run failed, so this one stops, too ({reason}). {_RESUME}"

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stopped.wait(_POLL_SECONDS):
            reason = self.failure_of_another()
            # A collective operation of this process mostly ends with an error of its own; one on a GPU may not.
            if reason and not self._stopped.wait(_GRACE_SECONDS):
                sys.stderr.write(f"{reason}\n")
                sys.stderr.flush()
                os._exit(1)


@contextmanager
def _peers_needed() -> Iterator[None]:
    """Translate what gloo and NCCL raise when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(_GONE) from error
