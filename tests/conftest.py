"""What every test shares: quiet threads, reproducible hypothesis, fast tests before slow ones, one Valkey."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest
import redis
import torch
from distributions import environment_with, hatchling, unpacked

from nigaoe.embedded_redis import EmbeddedRedis

REPOSITORY = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("home", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "home")


def pytest_configure() -> None:
    """Leave a core to the service processes that many tests start."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run fast tests first: most mistakes show within a minute. Of slow ones those first that wait most."""
    items.sort(
        key=lambda item: (item.get_closest_marker("slow") is not None, item.get_closest_marker("faults") is None)
    )


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def weights(repository: Path) -> Path:
    """The bundled weights."""
    return repository / "weights"


@pytest.fixture(scope="session")
def sample_photo(repository: Path) -> Path:
    """A public-domain portrait."""
    return repository / "samples" / "astronaut.jpg"


@pytest.fixture(scope="session")
def sdist(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout."""
    return hatchling(repository, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the sdist."""
    with TemporaryDirectory() as folder:
        return hatchling(unpacked(sdist, Path(folder)), "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def wheel_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the installed wheel."""
    return environment_with(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One server for all stories that leave it alone."""
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def fresh_url(valkey: EmbeddedRedis) -> Callable[[], str]:
    """Give the address of an empty database of that server; the twelfth call after it empties it again.

    Databases 0 to 3 are for those that last for the session.
    """
    numbers = itertools.cycle(range(4, 16))

    def url() -> str:
        address = f"{valkey.url}?db={next(numbers)}"
        with redis.Redis.from_url(address) as client:
            client.flushdb()
        return address

    return url
