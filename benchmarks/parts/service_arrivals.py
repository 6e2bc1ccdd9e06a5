"""Jobs that arrive by chance: continuous against static batching, and a service that is offered too much."""

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import httpx

from benchmarks.parts.service_ground import PHOTO, SLOTS, Ground, answers, free_port, percentile, wait_for
from benchmarks.parts.service_queue import SHARES, STEPS
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import Finished, InversionRequest
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.convert import inversion_engine

MAX_QUEUED = 1
CONCURRENCY = SLOTS
"""More would wait in the worker, where the queue's limit does not count them."""


@dataclass
class Load:
    """What became of the jobs that were offered."""

    seconds: list[float] = field(default_factory=list)  # From arrival to end, of those that were done.
    steps: list[int] = field(default_factory=list)  # The budgets of the same jobs, where they differ.
    refused: Counter[int] = field(default_factory=Counter)  # By HTTP status.
    elapsed: float = 0.0

    def p(self, share: float) -> float:
        """Seconds within which this share was done."""
        return percentile(self.seconds, share)

    def p_of(self, steps: int, share: float) -> float:
        """The same among jobs of one budget."""
        return percentile([s for s, n in zip(self.seconds, self.steps, strict=True) if n == steps], share)

    @property
    def throughput(self) -> float:
        """Jobs a second."""
        return len(self.seconds) / self.elapsed


def arrivals(rate: float, count: int, seed: int = 0) -> Iterator[float]:
    """Times of a Poisson process."""
    chance, now = random.Random(seed), 0.0
    for _ in range(count):
        now += chance.expovariate(rate)
        yield now


def meet(times: Sequence[float], arrive: Callable[[int], None]) -> None:
    """Let each arrive at its time."""
    begin = time.perf_counter()
    for index, moment in enumerate(times):
        time.sleep(max(0.0, begin + moment - time.perf_counter()))
        arrive(index)


class BusyTime:
    """A clock that neighbours cannot disturb: CPU time of the thread that steps, and idle time that is skipped."""

    def __init__(self) -> None:
        self._skipped = -time.thread_time()

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.thread_time() + self._skipped

    def skip_to(self, moment: float) -> None:
        """Let time pass until then, if it has not."""
        self._skipped += max(0.0, moment - self.now())


class Visitors:
    """Jobs with their times of arrival.

    Args:
        requests: Oldest first.
        times: When each arrives.
    """

    def __init__(self, requests: Sequence[InversionRequest], times: Sequence[float]) -> None:
        self.load = Load()
        self.clock = BusyTime()
        self._times = dict(zip(map(id, requests), times, strict=True))
        self._waiting = list(requests)

    def arrived(self, most: int) -> list[InversionRequest]:
        """Take the oldest who have arrived by now."""
        now = self.clock.now()
        taken = [request for request in self._waiting[:most] if self._times[id(request)] <= now]
        del self._waiting[: len(taken)]
        return taken

    def wait(self) -> bool:
        """Skip to the next arrival; False: nobody comes any more."""
        if self._waiting:
            self.clock.skip_to(self._times[id(self._waiting[0])])
        return bool(self._waiting)

    def leave(self, finished: Sequence[Finished]) -> None:
        """Note the answers that are given now."""
        self.load.elapsed = self.clock.now()
        for request in (ended.ticket.request for ended in finished):
            self.load.seconds.append(self.load.elapsed - self._times[id(request)])
            self.load.steps.append(request.settings.steps)


def step_costs(ground: Ground, rounds: int = 12) -> dict[int, float]:
    """Seconds of a step of so many faces: the middle of some rounds that take turns."""
    engine = inversion_engine(ground.pair.g_ori, SLOTS)
    taken: dict[int, list[float]] = {faces: [] for faces in range(1, SLOTS + 1)}
    for _ in range(rounds):
        for _ in range(SLOTS):
            engine.admit(InversionRequest(ground.target, InversionSettings(steps=engine.occupied + 3)))
        while faces := engine.occupied:
            clock = BusyTime()
            engine.step()
            taken[faces].append(clock.now())
    return {faces: statistics.median(seconds) for faces, seconds in taken.items()}


def batching(ground: Ground, jobs: int, a_step: float) -> Iterator[tuple[str, Load]]:
    """The same arrivals at 70 % of what a full batch can do, served in three ways."""
    budgets = random.Random(1).choices(STEPS, SHARES, k=jobs)
    requests = [InversionRequest(ground.target, InversionSettings(steps=steps)) for steps in budgets]
    engine = inversion_engine(ground.pair.g_ori, SLOTS)
    times = list(arrivals(0.7 * SLOTS / a_step / (sum(budgets) / jobs), jobs))
    yield "static, answered together", statically(engine, Visitors(requests, times), together=True)
    yield "static, answered one by one", statically(engine, Visitors(requests, times), together=False)
    yield "continuous", continuously(engine, Visitors(requests, times))


def statically(engine: SlotEngine, visitors: Visitors, *, together: bool) -> Load:
    """A batch is what waits when the last batch is through; nothing joins it later."""
    while visitors.wait():
        answers = engine.run(visitors.arrived(SLOTS))
        if together:
            visitors.leave(list(answers))
        else:
            for finished in answers:
                visitors.leave([finished])
    return visitors.load


def continuously(engine: SlotEngine, visitors: Visitors) -> Load:
    """Each arrival joins at the next step, if there is a slot; the oldest goes first, as in the worker."""
    while engine.occupied or visitors.wait():
        for request in visitors.arrived(engine.free):
            engine.admit(request)
        visitors.leave(engine.step())
    return visitors.load


class Service:
    """API and worker as processes, with few places to wait."""

    def __init__(self, ground: Ground) -> None:
        self.port = free_port()
        self._ground = ground
        self._processes = ExitStack()

    def __enter__(self) -> Self:
        command = ("api", "--port", str(self.port))
        self._processes.enter_context(self._ground.worker(concurrency=CONCURRENCY))
        self._processes.enter_context(self._ground.process(*command, max_queued_jobs=MAX_QUEUED))
        wait_for(partial(answers, f"http://127.0.0.1:{self.port}/readyz"))
        return self

    def __exit__(self, *exception: object) -> None:
        self._processes.close()

    def convert(self) -> tuple[int, float]:
        """Send a photo and wait for the portrait: HTTP status and seconds."""
        start = time.perf_counter()
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/convert",
            files={"photo": PHOTO.read_bytes()},
            data={"preset": "draft"},
            headers={"Prefer": "wait=60"},
            timeout=300,
        )
        return answer.status_code, time.perf_counter() - start


def calibrate(service: Service) -> float:
    """Jobs a second when as many clients as slots always ask for the next one."""
    service.convert()
    start = time.perf_counter()
    with ThreadPoolExecutor(SLOTS) as clients:
        statuses = [status for status, _ in clients.map(lambda _: service.convert(), range(4 * SLOTS))]
    return statuses.count(200) / (time.perf_counter() - start)


def offered(service: Service, rate: float, jobs: int) -> Load:
    """Clients come by chance, whether or not the service keeps up."""
    load, times = Load(), list(arrivals(rate, jobs))

    def ask(_: int) -> None:
        status, seconds = service.convert()
        if status == 200:
            load.seconds.append(seconds)
        else:
            load.refused[status] += 1

    start = time.perf_counter()
    with ThreadPoolExecutor(jobs) as clients:
        meet(times, lambda index: clients.submit(ask, index) and None)
    load.elapsed = time.perf_counter() - start
    return load
