"""The page as its users meet it: Chromium before a real server. In most stories the painter is the story itself."""

import contextlib
import json
import shutil
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from feed_forward_files import write_feed_forward_styles
from PIL import Image
from pillow_heif import from_pillow
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright
from wake_ups import WakeUps

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_api.app import create_app
from nigaoe_core.jobs import Failure, Job, JobKind, JobReport, JobState, Outcome, Progress
from nigaoe_core.services import Services, connect
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import LATENT, REFERENCE, RESULT_PNG
from nigaoe_core.store.job_records import Claim
from nigaoe_core.worker_report import WorkerReport

PATIENCE_MS = 60_000
"""Milliseconds that a story waits for what must happen soon, however loaded the machine is."""

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
CHROMIUM_PATHS = (
    "/usr/lib/chromium/chromium",
    "/snap/bin/chromium",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
CHROMIUM_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # A camera for machines that have none.
    "--use-fake-ui-for-media-stream",
)


def chromium_path() -> str | None:
    """Where this machine's Chromium is."""
    named = (shutil.which(name) for name in CHROMIUM_NAMES)
    return next((path for path in (*named, *CHROMIUM_PATHS) if path and Path(path).exists()), None)


@pytest.fixture(scope="module")  # Not longer: in its thread nobody else can run an event loop meanwhile.
def browser() -> Iterator[Browser]:
    """A Chromium with an empty profile."""
    path = chromium_path()
    if path is None:
        pytest.skip("No Chromium in PATH or where systems put it: apt-get install chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        chromium = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        yield chromium
        chromium.close()


@dataclass
class Witness:
    """Hears of everything that a page should not do."""

    origin: str
    faults: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", lambda message: self.hear(message.type, message.text))
        page.on("request", lambda request: self.see(request.url))

    def hear(self, kind: str, text: str) -> None:
        # A refusal (404, 503, ...) is logged by the browser itself, and is what some stories are about.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.faults.append(f"console: {text}")

    def see(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https") and not url.startswith(f"{self.origin}/"):
            self.faults.append(f"request to elsewhere: {url}")


VisitMaker = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser) -> Iterator[VisitMaker]:
    """Open the page as a new visitor: ``visit(url, color_scheme="dark")``. Violations of its policy fail the story."""
    contexts: list[BrowserContext] = []
    witnesses: list[Witness] = []

    def open_page(url: str, path: str = "/", **options: Any) -> Page:
        context = browser.new_context(**({"reduced_motion": "reduce", "accept_downloads": True} | options))
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        witnesses.append(Witness(url))
        page = context.new_page()
        witnesses[-1].watch(page)
        page.goto(f"{url}{path}")
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [fault for witness in witnesses for fault in witness.faults] == []


class Painter:
    """Paints one colour for a face. It tells the store what a worker would, when the story says so."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.wake_ups = WakeUps(services.settings.redis_url.get_secret_value())
        self._woken: list[str] = []

    def next_job(self, kind: JobKind = JobKind.CONVERT, **look: Any) -> Claim:
        """Wait for an order, of a look as it is asked for, and take it.

        Every visitor is a tenant, so orders are heard of by their wake-up messages.
        """
        while True:
            for job in self.ordered():
                asked = all(getattr(job.options, name) == value for name, value in look.items())
                if job.kind is kind and job.state is JobState.QUEUED and asked:
                    claim = self.services.store.claim(job.id, job.attempt, "painter")
                    assert claim is not None
                    return claim
            self._woken.append(self.wake_ups.get(PATIENCE_MS / 1000).job_id)

    def ordered(self) -> list[Job]:
        """All jobs that visitors ordered and that were not deleted, oldest first."""
        self._woken += [message.job_id for message in self.wake_ups.take_all()]
        known = self.services.store.known(self._woken)
        self._woken = [job_id for job_id in dict.fromkeys(self._woken) if job_id in known]
        return [self.services.store.get(job_id) for job_id in self._woken]

    def sketch(self, claim: Claim, step: int, colour: str, total: int = 100, drawing: str | None = None) -> Job:
        """Show how far it is, perhaps with what the style makes of it."""
        progress = Progress(step=step, total=total, distance=1 - step / total / 2, distance_start=1.0)
        job = self.services.store.heartbeat(claim, progress=progress)
        drawn = picture(drawing, "WEBP", 64) if drawing else None
        self.services.events.preview(claim, picture(colour, "WEBP", 64), step=step, drawing=drawn)
        return job

    def finish(self, claim: Claim, colour: str) -> Job:
        """Hand the portrait in."""
        blobs = {RESULT_PNG: picture(colour), LATENT: b"latent"}
        for name, content in blobs.items():
            self.services.blobs.put(f"{claim.job.folder}/{name}", content)
        report = JobReport(steps=60, distance_start=1.0, distance_end=0.25, stop_reason="plateau")
        keys = {name: f"{claim.job.folder}/{name}" for name in blobs}
        return self.services.store.succeed(claim, Outcome(blobs=keys, report=report))

    def finish_in_one_pass(self, claim: Claim, colour: str) -> Job:
        """Hand in a portrait of a style that draws without a search: nothing of it can be drawn again."""
        key = f"{claim.job.folder}/{RESULT_PNG}"
        self.services.blobs.put(key, picture(colour))
        has_reference = REFERENCE in claim.job.blobs
        seed = None if has_reference else claim.job.options.seed
        report = JobReport(method="gans-n-roses", seed=seed, reference=has_reference, stop_reason="one_pass")
        return self.services.store.succeed(claim, Outcome(blobs={RESULT_PNG: key}, report=report))

    def fail(self, claim: Claim, code: str) -> Job:
        """Give up."""
        return self.services.store.fail(claim, Failure(code=code, message="It did not work."))


@dataclass
class Studio:
    """A running server and who paints behind it."""

    url: str
    services: Services
    painter: Painter

    @property
    def styles(self) -> list[str]:
        """The installed styles' names, in the order in which the page shows them."""
        with urllib.request.urlopen(f"{self.url}/styles", timeout=60) as answer:
            return [style["name"] for style in json.load(answer)["styles"]]


@contextlib.contextmanager
def serving(folder: Path, redis_url: str, **changes: Any) -> Iterator[Studio]:
    """The real API over stores of its own, until the block ends."""
    # All visitors of these stories come from one address.
    generous = {"rate_limit": "100000/minute", "convert_rate_limit": "100000/minute", "keep_photo_count": 100_000}
    values = generous | changes
    settings = Settings(data_dir=folder, redis_url=redis_url, _env_file=None, **values)
    services = connect(settings)
    services.store.report_worker(WORKER, seconds=3600)
    config = uvicorn.Config(
        create_app(settings, services),
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    pause = threading.Event()
    while not server.started and thread.is_alive():
        pause.wait(0.02)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Studio(f"http://127.0.0.1:{port}", services, Painter(services))
    finally:
        server.should_exit = True
        thread.join()
        services.close()


WORKER = WorkerReport(
    worker="painter", ready=True, slots=4, busy=0, styles=("anime",), job_seconds=2.0, step_seconds=0.02
)


@pytest.fixture
def open_studio(tmp_path: Path, fresh_url: Callable[[], str]) -> Iterator[Callable[..., Studio]]:
    """Start a studio with other settings."""
    with contextlib.ExitStack() as stack:
        yield lambda **changes: stack.enter_context(serving(tmp_path / "studio", fresh_url(), **changes))


@pytest.fixture(scope="session")
def shared_studio(valkey: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One server for most stories: starting one loads the face detector."""
    with serving(tmp_path_factory.mktemp("studio"), f"{valkey.url}?db=1") as studio:
        yield studio


@pytest.fixture
def studio(shared_studio: Studio) -> Studio:
    """A studio as it is installed, with an empty order book."""
    for job in shared_studio.painter.ordered():
        shared_studio.services.store.delete(job.id)
    return shared_studio


@pytest.fixture(scope="session")
def shared_one_pass_studio(valkey: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One server with four styles that draw in one pass beside the others, see `feed_forward_files`."""
    folder = tmp_path_factory.mktemp("one-pass-studio")
    registry = write_feed_forward_styles(folder / "registry")
    with serving(folder, f"{valkey.url}?db=2", registry_dir=registry) as studio:
        yield studio


@pytest.fixture
def one_pass_studio(shared_one_pass_studio: Studio) -> Studio:
    """That studio with an empty order book."""
    for job in shared_one_pass_studio.painter.ordered():
        shared_one_pass_studio.services.store.delete(job.id)
    return shared_one_pass_studio


def picture(colour: str, picture_format: str = "PNG", side: int = 256) -> bytes:
    """A picture of one colour."""
    buffer = BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, picture_format, lossless=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def group_photo(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people side by side; the one on the left is larger."""
    left = Image.open(repository / "samples" / "astronaut.jpg").convert("RGB")
    right = Image.open(repository / "samples" / "grace_hopper.jpg").convert("RGB")
    right.thumbnail((200, 240))
    sheet = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width, 0))
    path = tmp_path_factory.mktemp("photos") / "group.jpg"
    sheet.save(path)
    return path


@pytest.fixture(scope="session")
def heic_photo(sample_photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo as phones write them and Chromium cannot read them."""
    path = tmp_path_factory.mktemp("photos") / "phone.heic"
    with Image.open(sample_photo) as photo:
        from_pillow(photo.convert("RGB")).save(path)
    return path


@pytest.fixture(scope="session")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo without anybody."""
    path = tmp_path_factory.mktemp("photos") / "landscape.jpg"
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(path)
    return path


class Visitor:
    """Hands that know the page: each returns when the page has done what it should."""

    def __init__(self, page: Page, sample_photo: Path) -> None:
        self.page = page
        self.sample_photo = sample_photo

    def at(self, step: str) -> None:
        """Wait until the studio is at a step."""
        self.page.wait_for_selector(f'[data-step="{step}"]:not([hidden])')

    def give(self, photo: Path | None = None) -> None:
        """Choose a photo."""
        self.page.set_input_files("#photo-input", photo or self.sample_photo)

    def choose_style(self, name: str) -> None:
        """Choose one of the cards."""
        self.page.locator(f"#style-choice label:has([value={name}])").click()

    def order(self, photo: Path | None = None) -> None:
        """Order a portrait of a photo with one face."""
        self.give(photo)
        self.at("style")
        self.page.get_by_role("button", name="Draw my likeness").click()
        self.at("drawing")

    def colour_of(self, selector: str) -> tuple[int, ...]:
        """The middle pixel of a picture, once it is loaded."""
        self.page.wait_for_function("s => document.querySelector(s)?.naturalWidth > 0", arg=selector)
        pixel = """s => {
            const image = document.querySelector(s);
            const brush = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d");
            brush.drawImage(image, image.naturalWidth / 2, image.naturalHeight / 2, 1, 1, 0, 0, 1, 1);
            return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }"""
        return tuple(self.page.evaluate(pixel, selector))

    def sees_colour(self, selector: str, colour: tuple[int, ...]) -> None:
        """Wait until a picture has this colour in its middle."""
        pause = threading.Event()
        for _ in range(PATIENCE_MS // 50):
            if self.colour_of(selector) == colour:
                return
            pause.wait(0.05)
        raise AssertionError(f"{selector} is {self.colour_of(selector)}, not {colour}")


@pytest.fixture
def welcome(visit: VisitMaker, sample_photo: Path) -> Callable[..., Visitor]:
    """Open the page and give the visitor hands."""

    def enter(url: str, path: str = "/", **options: Any) -> Visitor:
        return Visitor(visit(url, path, **options), sample_photo)

    return enter


@pytest.fixture
def visitor(welcome: Callable[..., Visitor], studio: Studio) -> Visitor:
    """A visitor of the studio as it is installed."""
    return welcome(studio.url)


class HeldOrder:
    """An order that the studio has and whose answer the visitor gets when the story says so."""

    def __init__(self, visitor: Visitor) -> None:
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        visitor.page.route("**/convert", hold, times=1)
        visitor.order()
        for _ in range(PATIENCE_MS // 50):
            if held:
                break
            visitor.page.wait_for_timeout(50)  # Routes are heard of only while Playwright is asked for something.
        self.route = held[0]
        self.answered = self.route.fetch()

    def answer(self) -> None:
        """Let the answer through."""
        self.route.fulfill(response=self.answered)

    def lose(self) -> None:
        """Break the connection."""
        self.route.abort()


@pytest.fixture
def held_order() -> Callable[[Visitor], HeldOrder]:
    """Order a portrait as a visitor; the answer is held back."""
    return HeldOrder
