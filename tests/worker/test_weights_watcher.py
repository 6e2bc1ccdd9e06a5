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
from nigaoe_worker.engine import Engine
from nigaoe_worker.job_blobs import Shelf
from nigaoe_worker.model_cache import Gallery
from nigaoe_worker.weights_watcher import WeightsWatcher
from nigaoe_worker.work import Workbench

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
def watcher(gallery: Gallery, engine: Engine, errors: UnexpectedErrors) -> Iterator[WeightsWatcher]:
    """Looks when it is told to."""
    made = WeightsWatcher(gallery, engine, errors)
    yield made
    made.close()


def test_a_replaced_generator_leaves_the_memory(
    watcher: WeightsWatcher, gallery: Gallery, engine: Engine, settings: Settings, desk: Any,
    installed: Callable[..., Path],
) -> None:  # fmt: skip
    """It was searched in, blended and drawn with: neither a cache nor empty slots hold on to it."""
    bench = Workbench(engine, gallery, settings)
    for style in ("anime", "ink"):
        hold = desk.hold(desk.order(style=style, method="direct", degree=0.5), seconds=600)
        bench.run(hold, Shelf(desk.services.blobs, hold, 0))
    old = [weakref.ref(gallery.pair(style).g_fin.generator) for style in ("anime", "ink")]
    kept = weakref.ref(gallery.pair("ink").g_ori.generator)
    installed(settings.weights_dir, "ink")  # Another file of this name, and no anime any more.
    watcher.look()
    assert gallery.styles == ("ink",)
    engine.do(gc.collect)
    assert [generator() for generator in old] == [None, None]
    assert kept() is gallery.pair("ink").g_ori.generator


def test_damaged_weights_are_looked_at_again(
    watcher: WeightsWatcher, gallery: Gallery, settings: Settings, installed: Callable[..., Path]
) -> None:
    """The old ones stay; what is whole again is loaded."""
    manifest = settings.weights_dir / "manifest.toml"
    whole = manifest.read_text()
    manifest.write_text("This is no manifest.")
    watcher.look()
    assert gallery.styles == ("anime", "ink")
    manifest.write_text(whole)
    installed(settings.weights_dir, "anime")
    watcher.look()
    assert gallery.styles == ("anime",)


def test_it_waits_for_the_device_in_a_thread_of_its_own(
    watcher: WeightsWatcher, engine: Engine, settings: Settings, installed: Callable[..., Path],
    gallery: Gallery, until: Until, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Loading takes long. Nothing that tells how this worker is waits for it, and the device does not count as hung."""
    is_over, is_loading, load = threading.Event(), threading.Event(), gallery.load

    def load_slowly() -> Any:
        is_loading.set()
        assert is_over.wait(60)
        return load()

    monkeypatch.setattr(gallery, "load", load_slowly)
    monkeypatch.setattr("nigaoe_worker.weights_watcher.LOOK_SECONDS", 0.01)
    installed(settings.weights_dir, "ink")
    watcher.start()
    assert is_loading.wait(60)
    assert engine.activity is None
    is_over.set()
    until(lambda: gallery.styles == ("ink",))
