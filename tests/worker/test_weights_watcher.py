"""Weights that are installed while the worker runs, and the memory of those that they replace."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nigaoe_core.guarded_loop import UnexpectedErrors
from nigaoe_core.settings import Settings
from nigaoe_worker.convert import JobRunner
from nigaoe_worker.device import Engine
from nigaoe_worker.job_blobs import JobBlobs
from nigaoe_worker.model_cache import ModelCache, WeightsWatcher

Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, installed: Callable[..., Path]) -> Settings:
    """With weights that a story may change."""
    return settings.model_copy(update={"weights_dir": installed(tmp_path / "own", "anime", "ink")})


@pytest.fixture
def errors() -> UnexpectedErrors:
    """Of this story."""
    return UnexpectedErrors()


@pytest.fixture
def watcher(models: ModelCache, engine: Engine, errors: UnexpectedErrors) -> Iterator[WeightsWatcher]:
    """Checks when a story asks."""
    made = WeightsWatcher(models, engine, errors)
    yield made
    made.close()


def test_a_replaced_generator_leaves_the_memory(
    watcher: WeightsWatcher, models: ModelCache, engine: Engine, settings: Settings, client: Any,
    installed: Callable[..., Path],
) -> None:  # fmt: skip
    """It was searched in, blended and drawn with: neither a cache nor empty slots keep it."""
    runner = JobRunner(engine, models, settings)
    for style in ("anime", "ink"):
        claimed = client.claimed(client.convert(style=style, method="direct", degree=0.5), seconds=600)
        runner.run(claimed, JobBlobs(client.services.blobs, claimed, 0))
    old = [weakref.ref(models.pair(style).g_fin.generator) for style in ("anime", "ink")]
    kept = weakref.ref(models.pair("ink").g_ori.generator)
    installed(settings.weights_dir, "ink")  # Another file of this name, and no anime any more.
    watcher.check()
    assert models.styles == ("ink",)
    engine.do(gc.collect)
    assert [generator() for generator in old] == [None, None]
    assert kept() is models.pair("ink").g_ori.generator


def test_damaged_weights_are_checked_again(
    watcher: WeightsWatcher, models: ModelCache, settings: Settings, installed: Callable[..., Path]
) -> None:
    """The old ones stay; what is whole again is loaded."""
    manifest = settings.weights_dir / "manifest.toml"
    whole = manifest.read_text()
    manifest.write_text("This is no manifest.")
    watcher.check()
    assert models.styles == ("anime", "ink")
    manifest.write_text(whole)
    installed(settings.weights_dir, "anime")
    watcher.check()
    assert models.styles == ("anime",)


def test_it_waits_for_the_device_in_a_thread_of_its_own(
    watcher: WeightsWatcher, engine: Engine, settings: Settings, installed: Callable[..., Path],
    models: ModelCache, until: Until, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Loading takes long. The heartbeat does not wait for it, and the device does not count as hung."""
    is_over, is_loading, load = threading.Event(), threading.Event(), models.load

    def load_slowly() -> Any:
        is_loading.set()
        assert is_over.wait(60)
        return load()

    monkeypatch.setattr(models, "load", load_slowly)
    monkeypatch.setattr("nigaoe_worker.model_cache.POLL_SECONDS", 0.01)
    installed(settings.weights_dir, "ink")
    watcher.start()
    assert is_loading.wait(60)
    assert engine.activity is None
    is_over.set()
    until(lambda: models.styles == ("ink",))
