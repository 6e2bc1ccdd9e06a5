"""A small share of `benchmarks/faults.py`: some faults drawn at random, with a seed, over the whole service."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from random_faults import FAULTS, Storm

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]

SEED = 15
COUNT = 40


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Iterator[Storm]:
    """The service before the first fault."""
    made = Storm(tmp_path_factory.mktemp("storm"), tiny_weights, SEED)
    yield made
    made.close()


def test_whatever_happens_no_job_is_lost(storm: Storm) -> None:
    """Every job ends once, as it should, is reported once, and leaves nothing behind."""
    storm.wait_until_ready()
    result = storm.run(COUNT)
    assert sum(result.faults.values()) == COUNT
    assert result.faults.keys() <= FAULTS.keys()
    assert (result.lost, result.twice, result.unreported, result.leftovers) == ([], [], [], set())
    assert result.ends["succeeded"] >= COUNT / 2
    assert result.slowest <= storm.site.recovery()
