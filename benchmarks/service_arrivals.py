"""Jobs that arrive by chance: continuous against static batching, and a service that is offered too much."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import httpx
from service_ground import PHOTO, SLOTS, Ground, answers, free_port, percentile, wait_for

from model.conversion import inversion_engine
from model.device import prepare_device
from model.inversion.engine import SlotEngine
from model.inversion.request import InversionRequest
from model.inversion.settings import InversionSettings
from worker.engine import Engine
from worker.metrics import Metrics
from worker.order import InversionOrder

STEPS = (15, 30, 75)
"""Budgets of the arriving jobs, one as likely as the other: people choose different presets."""
MAX_QUEUED = 1


@dataclass
class Load:
    """What became of the jobs that were offered."""

    seconds: list[float] = field(default_factory=list)  # From arrival to end, of those that were done.
    refused: int = 0
    elapsed: float = 0.0

    def p(self, share: float) -> float:
        """Seconds within which this share was done."""
        return percentile(self.seconds, share)

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


def batching(ground: Ground, jobs: int) -> dict[str, Load]:
    """The same arrivals at 70 % of what a full batch can do, served in two ways."""
    chance = random.Random(1)
    requests = [InversionRequest(ground.target, InversionSettings(steps=chance.choice(STEPS))) for _ in range(jobs)]
    slots = inversion_engine(ground.pair.g_ori, SLOTS)
    start = time.perf_counter()
    done = sum(1 for _ in slots.run(requests[: 3 * SLOTS]))
    times = list(arrivals(0.7 * done / (time.perf_counter() - start), jobs))
    return {"static": statically(slots, requests, times), "continuous": continuously(ground, requests, times)}


def statically(slots: SlotEngine, requests: Sequence[InversionRequest], times: Sequence[float]) -> Load:
    """A batch is whoever waits when the last batch is through; nobody joins it later."""
    load, waiting, news = Load(), [], threading.Condition()

    def arrive(index: int) -> None:
        with news:
            waiting.append((requests[index], time.perf_counter()))
            news.notify()

    visitors = threading.Thread(target=meet, args=[times, arrive])
    begin = time.perf_counter()
    visitors.start()
    while len(load.seconds) < len(requests):
        with news:
            news.wait_for(lambda: waiting)
            batch, waiting[:] = waiting[:SLOTS], waiting[SLOTS:]
        arrived = {id(request): moment for request, moment in batch}
        for finished in slots.run([request for request, _ in batch]):
            load.seconds.append(time.perf_counter() - arrived[id(finished.ticket.request)])
    visitors.join()
    load.elapsed = time.perf_counter() - begin
    return load


def continuously(ground: Ground, requests: Sequence[InversionRequest], times: Sequence[float]) -> Load:
    """The worker's engine: whoever comes joins at the next step, if there is a slot."""
    load, all_done = Load(), threading.Semaphore(0)
    engine = Engine(
        SLOTS, inversion_engine, Metrics(ground.services.store, SLOTS, "cpu"), partial(prepare_device, "cpu")
    )
    engine.start()
    engine.invert(InversionOrder(ground.pair.g_ori, requests[0])).result()  # Sets the slots up, as they are there.

    def ended(moment: float, _: "Future[object]") -> None:
        load.seconds.append(time.perf_counter() - moment)
        all_done.release()

    def arrive(index: int) -> None:
        future = engine.invert(InversionOrder(ground.pair.g_ori, requests[index], queued_at=float(index)))
        future.add_done_callback(partial(ended, time.perf_counter()))

    begin = time.perf_counter()
    meet(times, arrive)
    for _ in requests:
        all_done.acquire()
    load.elapsed = time.perf_counter() - begin
    engine.close()
    return load


class Service:
    """API and worker as processes, with a queue that is kept short."""

    def __init__(self, ground: Ground) -> None:
        self.port = free_port()
        self._ground = ground
        self._processes = ExitStack()

    def __enter__(self) -> Self:
        command = ("api", "--port", str(self.port))
        self._processes.enter_context(self._ground.worker())
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
            load.refused += 1

    start = time.perf_counter()
    with ThreadPoolExecutor(jobs) as clients:
        meet(times, lambda index: clients.submit(ask, index) and None)
    load.elapsed = time.perf_counter() - start
    return load
