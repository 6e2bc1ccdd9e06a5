"""Loads weights that were installed, changed or removed while the worker runs; in a thread that may wait for it."""

import threading
from typing import Final

import structlog

from nigaoe_core.errors import NigaoeError
from nigaoe_core.guarded_loop import GuardedThread, UnexpectedErrors
from nigaoe_core.jobs import Seconds
from nigaoe_worker.engine import Engine
from nigaoe_worker.model_cache import Gallery
from nigaoe_worker.slot_batch import DeviceLost

LOOK_SECONDS: Final[Seconds] = 2.0

_log = structlog.get_logger(__name__)


class WeightsWatcher:
    """Looks at the files every two seconds.

    Args:
        gallery: Knows what is loaded.
        engine: In whose thread weights are loaded.
        errors: Where unexpected errors are recorded.
    """

    def __init__(self, gallery: Gallery, engine: Engine, errors: UnexpectedErrors) -> None:
        self._gallery = gallery
        self._engine = engine
        self._closing = threading.Event()
        self._thread = GuardedThread("weights_watcher", self._run, errors)

    def start(self) -> None:
        """Begin to look; the first load is done."""
        self._thread.start()

    def close(self) -> None:
        """End, after what is being loaded."""
        self._closing.set()
        self._thread.join()

    def look(self) -> None:
        """Load what is new; a file or manifest that is damaged is left for the next look, and the old stays.

        Raises:
            DeviceLost: There is nothing to load for any more.
        """
        try:
            if self._gallery.is_outdated():
                load_what_changed(self._gallery, self._engine)
        except NigaoeError as error:
            _log.warning("weights.postponed", code=error.code, reason=error.message)

    def _run(self) -> None:
        try:
            while not self._closing.wait(LOOK_SECONDS):
                self.look()
        except DeviceLost:
            return  # The process is about to end.


def load_what_changed(gallery: Gallery, engine: Engine) -> None:
    """Load the weights that are installed now, unless somebody else did meanwhile, and let go of those they replace.

    Raises:
        NigaoeError: A manifest is damaged, or no style can be loaded; the old weights stay.
        DeviceLost: The device was given up.
    """

    def load() -> None:
        if gallery.is_outdated():
            engine.keep_only(gallery.load().generators)

    engine.do(load, may_take_long=True)
