"""Nigaoe: a photo of a person in, an anime portrait of the same person out.

As a library (`nigaoe.library`), as the command line `nigaoe`, and as a whole service in one process tree. Importing the
package loads nothing; PyTorch comes with the first name that is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from nigaoe_core.cpu_runtime import wait_asleep

if TYPE_CHECKING:
    from nigaoe.batch import BatchProgress
    from nigaoe.library import ConvertOptions, DrawOptions, Nigaoe
    from nigaoe.results import Drawing, Result
    from nigaoe_core.errors import NigaoeError
    from nigaoe_model.portrait.stored_latent import StoredLatent

wait_asleep()

_PLACES: Final = {
    "BatchProgress": "nigaoe.batch",
    "ConvertOptions": "nigaoe.library",
    "DrawOptions": "nigaoe.library",
    "Drawing": "nigaoe.results",
    "Nigaoe": "nigaoe.library",
    "NigaoeError": "nigaoe_core.errors",
    "Result": "nigaoe.results",
    "StoredLatent": "nigaoe_model.portrait.stored_latent",
}

__all__ = [
    "BatchProgress",
    "ConvertOptions",
    "DrawOptions",
    "Drawing",
    "Nigaoe",
    "NigaoeError",
    "Result",
    "StoredLatent",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
