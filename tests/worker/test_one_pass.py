"""Photos of feed-forward styles: they share passes, in order, and what goes wrong with one is nobody else's."""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
import torch
from feed_forward_files import SIDE, gans_n_roses, swapping_autoencoder, write_feed_forward_styles

from nigaoe_core.errors import InversionError, MethodMismatch
from nigaoe_core.settings import Settings
from nigaoe_model.inversion.request import InversionRequest, StopReason
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.feed_forward import FeedForwardStyle, OnePassRequest, draw_in_one_pass, feed_forward_style
from nigaoe_worker import one_pass
from nigaoe_worker.device import Engine
from nigaoe_worker.metrics import Metrics
from nigaoe_worker.model_cache import ModelCache
from nigaoe_worker.one_pass import FeedForwardPass, PassRequest, next_pass
from nigaoe_worker.slot_batch import DeviceLost, SlotRequest

POISON = 666
"""The seed of the photo on which a pass chokes."""


@pytest.fixture(scope="module")
def roses() -> FeedForwardStyle:
    return feed_forward_style("roses", gans_n_roses())


@pytest.fixture(scope="module")
def swap() -> FeedForwardStyle:
    return feed_forward_style("swap", swapping_autoencoder())


@pytest.fixture
def idle_engine(metrics: Metrics) -> Engine:
    """Three photos a pass; the story starts it when all of its requests wait."""
    return Engine(3, lambda *_: pytest.fail("Nothing is searched."), metrics, lambda: torch.set_num_threads(1))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The seeds of the photos of every pass that is begun; one with poison in it raises."""
    begun: list[list[int]] = []

    def recorded(style: FeedForwardStyle, requests: Any, upscaler: Any) -> Any:
        begun.append([request.seed for request in requests])
        if POISON in begun[-1]:
            raise ValueError("Nobody expected this.")
        return draw_in_one_pass(style, requests, upscaler)

    monkeypatch.setattr(one_pass, "draw_in_one_pass", recorded)
    return begun


def photo(seed: int = 0) -> OnePassRequest:
    return OnePassRequest(torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)), seed)


def asked(style: FeedForwardStyle, seed: int, **more: Any) -> PassRequest:
    return PassRequest(FeedForwardPass(style), photo(seed), **more)


def test_photos_of_one_style_share_a_pass_in_order(
    idle_engine: Engine, roses: FeedForwardStyle, swap: FeedForwardStyle, passes: list[list[int]]
) -> None:
    """By priority, then age; the other style waits for its own pass, and everybody gets what he would get alone."""
    requests = [
        asked(roses, 1, queued_at=3.0),
        asked(swap, 2, queued_at=1.5),
        asked(roses, 3, queued_at=2.0),
        asked(roses, 4, queued_at=1.0),
        asked(roses, 5, queued_at=9.0, priority=9),
    ]
    futures = [idle_engine.draw(request) for request in requests]
    idle_engine.start()
    for request, future in zip(requests, futures, strict=True):
        assert isinstance(request.kind, FeedForwardPass)
        (alone,) = draw_in_one_pass(request.kind.style, [photo(request.photo.seed)], None)
        torch.testing.assert_close(future.result(60).drawing, alone.drawing, atol=1e-4, rtol=0)
    assert passes == [[5, 4, 3], [2], [1]]
    idle_engine.close()


def test_a_suspect_never_shares_a_pass(roses: FeedForwardStyle) -> None:
    """Neither when it is first in line, nor when another is."""
    suspect, other = asked(roses, 1, is_suspect=True, priority=9), asked(roses, 2)
    assert next_pass([other, suspect], 8) == [suspect]
    suspect.priority = 1
    assert next_pass([suspect, other], 8) == [other]


def test_a_poisonous_photo_fails_and_its_neighbours_do_not(
    idle_engine: Engine, roses: FeedForwardStyle, passes: list[list[int]]
) -> None:
    """Nobody can tell which of a pass it was, so each is drawn alone once more."""
    futures = {seed: idle_engine.draw(asked(roses, seed)) for seed in (1, POISON, 2)}
    idle_engine.start()
    with pytest.raises(InversionError, match="unexpected fault") as caught:
        futures[POISON].result(60)
    assert isinstance(caught.value.__cause__, ValueError)
    assert all(futures[seed].result(60).drawing.shape == (3, SIDE, SIDE) for seed in (1, 2))
    assert passes == [[1, POISON, 2], [1], [POISON], [2]]
    assert idle_engine.draw(asked(roses, 3)).result(60)
    idle_engine.close()


def test_a_fault_in_a_pass_is_no_searchs(
    engine: Engine, models: ModelCache, roses: FeedForwardStyle, passes: list[list[int]]
) -> None:
    """A search that goes on in the same thread ends as if nothing had been."""
    begun, goes_on = threading.Event(), threading.Event()

    def follow(_: Any) -> None:
        begun.set()
        assert goes_on.wait(60)

    pair = models.pair("anime")
    target = torch.zeros(3, 32, 32)
    search = InversionRequest(target, InversionSettings(steps=4), on_progress=follow)
    found = engine.invert(SlotRequest(pair.g_ori, search))
    assert begun.wait(60)
    failing, drawn = engine.draw(asked(roses, POISON)), engine.draw(asked(roses, 1))
    goes_on.set()
    with pytest.raises(InversionError):
        failing.result(60)
    assert drawn.result(60).report["seed"] == 1
    finished = found.result(60)
    assert (finished.stop_reason, finished.unwrap().steps) == (StopReason.BUDGET, 4)
    assert passes[0] == [POISON, 1]
    alone = engine.invert(SlotRequest(pair.g_ori, InversionRequest(target, InversionSettings(steps=4)))).result(60)
    torch.testing.assert_close(finished.unwrap().w_plus, alone.unwrap().w_plus, atol=1e-5, rtol=0)


def test_a_pass_without_memory_is_halved(
    idle_engine: Engine, roses: FeedForwardStyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as it takes; where one photo alone is too much, it fails alone."""
    widths: list[int] = []

    def short_of_memory(style: FeedForwardStyle, requests: Any, upscaler: Any) -> Any:
        widths.append(len(requests))
        if len(requests) > 1 or requests[0].seed == POISON:
            raise torch.OutOfMemoryError("out of memory")
        return draw_in_one_pass(style, requests, upscaler)

    monkeypatch.setattr(one_pass, "draw_in_one_pass", short_of_memory)
    futures = {seed: idle_engine.draw(asked(roses, seed)) for seed in (1, POISON, 2)}
    idle_engine.start()
    with pytest.raises(InversionError, match="too little memory"):
        futures[POISON].result(60)
    assert futures[1].result(60)
    assert futures[2].result(60)
    assert widths == [3, 3, 1, 2, 2, 1, 1, 1]  # Each is tried once more after memory was freed.
    idle_engine.close()


def test_a_device_that_dies_in_a_pass_is_dead_for_all(
    idle_engine: Engine, roses: FeedForwardStyle, swap: FeedForwardStyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the pass are told that it may be their doing, those who wait that it is not."""

    def die(*_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(one_pass, "draw_in_one_pass", die)
    futures = [idle_engine.draw(asked(style, 0)) for style in (roses, roses, swap)]
    idle_engine.start()
    errors = [future.exception(60) for future in futures]
    assert [isinstance(error, DeviceLost) and error.was_computing for error in errors] == [True, True, False]
    with pytest.raises(DeviceLost):
        idle_engine.draw(asked(roses, 1))


def test_the_cancelled_are_not_drawn(idle_engine: Engine, roses: FeedForwardStyle, passes: list[list[int]]) -> None:
    """And a callback that raises is its caller's fault alone."""

    def broken() -> bool:
        raise ValueError("Nobody expected this.")

    cancelled = idle_engine.draw(asked(roses, 1, cancelled=lambda: True))
    raising = idle_engine.draw(asked(roses, 2, cancelled=broken))
    drawn = idle_engine.draw(asked(roses, 3))
    idle_engine.start()
    assert drawn.result(60)
    with pytest.raises(CancelledError):
        cancelled.result(60)
    with pytest.raises(InversionError):
        raising.result(60)
    assert passes == [[3]]
    idle_engine.close()


def test_feed_forward_styles_are_loaded_beside_the_others(
    settings: Settings, tmp_path: Path, installed: Callable[..., Path]
) -> None:
    """Each under its name; one whose file is of another method is left out, and the others are served."""
    folder = write_feed_forward_styles(installed(tmp_path / "weights", "anime"))
    (folder / "swap.safetensors").write_bytes((folder / "roses.safetensors").read_bytes())
    models = ModelCache(settings.model_copy(update={"weights_dir": folder}), "cpu")
    models.load()
    assert models.styles == ("anime", "roses", "blind-roses", "bare-swap")
    assert models.feed_forward == ("roses", "blind-roses", "bare-swap")
    assert isinstance(models.style("roses"), FeedForwardStyle)
    with pytest.raises(MethodMismatch):
        models.pair("roses")
    assert len(models.load().generators) == 2
