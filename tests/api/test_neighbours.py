"""Whatever lives as long as the API's process raises what nobody expected: its neighbours go on, it is counted and
logged, and it lives. The worker's half is `tests/worker/test_neighbours.py`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from nigaoe_api.app import create_app
from nigaoe_api.face_finder import FaceFinder
from nigaoe_api.rate_limits import RateLimits
from nigaoe_api.webhooks import WebhookSender
from nigaoe_core.jobs import ANONYMOUS, Job, JobOptions, new_job
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings

if TYPE_CHECKING:
    from conftest import Api, Site


POISON = "poison"
"""The style of the job that everything in these stories chokes on."""


class Faulty:
    """Something that raises a few times before it works: at once, or only for the job that is poison."""

    def __init__(self, work: Callable[..., Any], times: int = 2, *, only_poison: bool = False) -> None:
        self._work = work
        self._times = times
        self._only_poison = only_poison
        self.poison: set[str] = set()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self._times and (not self._only_poison or self.is_poison(arguments)):
            self._times -= 1
            raise ValueError("Nobody expected this.")
        return self._work(*arguments, **named)

    def is_poison(self, arguments: tuple[Any, ...]) -> bool:
        return any(
            argument in self.poison if isinstance(argument, str) else argument.options.style == POISON
            for argument in arguments
            if isinstance(argument, str | Job)
        )


Inject = Callable[[pytest.MonkeyPatch, Services], Faulty]


def in_the_detector(patch: pytest.MonkeyPatch, _services: Services) -> Faulty:
    faulty = Faulty(FaceFinder.load)
    patch.setattr(FaceFinder, "load", lambda finder: faulty(finder))  # noqa: PLW0108 - only a function is bound to its object.
    return faulty


def in_the_sender(patch: pytest.MonkeyPatch, services: Services) -> Faulty:
    faulty = Faulty(services.store.due_webhooks)
    patch.setattr(services.store, "due_webhooks", faulty)
    return faulty


def in_a_delivery(patch: pytest.MonkeyPatch, _services: Services) -> Faulty:
    faulty = Faulty(WebhookSender._send, only_poison=True)
    patch.setattr(WebhookSender, "_send", lambda sender, job: faulty(sender, job))  # noqa: PLW0108 - likewise.
    return faulty


def in_the_change_feed(patch: pytest.MonkeyPatch, services: Services) -> Faulty:
    faulty = Faulty(services.feed._pass_on)  # type: ignore[attr-defined]  # Of the feed over Redis.
    patch.setattr(services.feed, "_pass_on", faulty)
    return faulty


def in_a_stream(patch: pytest.MonkeyPatch, services: Services) -> Faulty:
    faulty = Faulty(services.events.watch, times=1, only_poison=True)
    patch.setattr(services.events, "watch", faulty)
    return faulty


LOOPS: dict[str, Inject] = {
    "load_detector": in_the_detector,
    "webhook_sender": in_the_sender,
    "webhook_delivery": in_a_delivery,
    "change_feed": in_the_change_feed,
    "event_stream": in_a_stream,
}
"""All of the API's that live as long as its process, or that several clients share, by the name they are counted by."""


def follow(api: "Api", job: Job) -> str:
    with api.client().stream("GET", f"/jobs/{job.id}/events") as stream:
        return "\n".join(stream.iter_lines())


@pytest.mark.parametrize("where", LOOPS)
def test_an_unexpected_error_is_nobody_elses(
    where: str, start: Callable[..., "Api"], fresh_url: Callable[[], str], site: "Site", eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Beside the fault a job is followed to its end and its webhook arrives; then the faulty one works, too."""
    faulty: list[Faulty] = []

    def connecting(settings: Settings) -> Services:
        services = connect(settings)
        faulty.append(LOOPS[where](monkeypatch, services))
        return services

    changes: dict[str, Any] = {"webhook_allow_loopback": True, "webhook_pause_seconds": 0.1}
    with structlog.testing.capture_logs() as log:
        api = start(connecting, redis_url=fresh_url(), **changes)
        orders = [
            new_job(JobOptions(style=style, webhook_url=f"{site.url}/{style}"), tenant=ANONYMOUS)
            for style in (POISON, "anime")
        ]
        poison, good = (api.services.store.submit([order]).jobs[0] for order in orders)
        faulty[0].poison.add(poison.id)
        with ThreadPoolExecutor() as clients:
            streams = [clients.submit(follow, api, job) for job in (poison, good)]
            eventually(lambda: api.services.events.is_watched(good.id))
            for job in (good, poison):
                api.worker.do(job.id)
            assert '"succeeded"' in streams[1].result(60)
            streams[0].result(60)
        eventually(lambda: {call.path for call in site.received} == {f"/{POISON}", "/anime"})
        eventually(lambda: api.services.errors.counts[where])
        assert '"succeeded"' in follow(api, poison)
        eventually(lambda: api.facilities.faces.is_ready)
    assert f'nigaoe_unexpected_errors_total{{where="{where}"}}' in api.client().get("/metrics").text
    assert {str(line["exc_info"]) for line in log if line["event"] == "unexpected_error"} == {"Nobody expected this."}


def test_every_loop_has_its_story(special_api: Callable[..., "Api"]) -> None:
    """What the process guards is what is listed above; of erasures and checks the stories of those parts tell."""
    api = special_api()
    assert set(api.services.errors.counts) <= {*LOOPS, "retention", "readiness"}


def test_a_failing_loop_does_not_hinder_the_end(
    tmp_path: Path, fresh_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector's file is gone and loading it fails again and again: the rest is closed in order all the same."""
    closed: list[RateLimits] = []
    close = RateLimits.close

    async def told_close(limits: RateLimits) -> None:
        closed.append(limits)
        await close(limits)

    monkeypatch.setattr(RateLimits, "close", told_close)
    settings = Settings(data_dir=tmp_path, redis_url=fresh_url(), _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument.
    services = connect(settings)
    in_the_detector(monkeypatch, services)._times = 10**9
    app = create_app(settings, services)

    async def story() -> None:
        async with app.router.lifespan_context(app):
            while not services.errors.counts["load_detector"]:
                await asyncio.sleep(0.01)
        assert closed

    asyncio.run(asyncio.wait_for(story(), 60))
    services.close()
