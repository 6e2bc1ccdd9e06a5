import gc
import weakref

from nigaoe_model.weak_cache import WeakCache


class Owner:
    """Something large."""


def test_what_was_made_is_kept_by_identity() -> None:
    """The same owners and detail get the same value; equal ones that are others do not."""
    cache: WeakCache[list[int]] = WeakCache(4)
    one, other = Owner(), Owner()
    made = cache.get((one, other), lambda: [1])
    assert cache.get((one, other), lambda: [2]) is made
    assert cache.get((other, one), lambda: [3]) == [3]
    assert cache.get((one, other), lambda: [4], detail="else") == [4]


def test_a_value_goes_with_any_of_its_owners() -> None:
    """And the cache keeps none of them alive."""
    cache: WeakCache[Owner] = WeakCache(4)
    one, other = Owner(), Owner()
    value, owner = weakref.ref(cache.get((one, other), Owner)), weakref.ref(one)
    kept = weakref.ref(cache.get((other,), Owner))
    del one
    gc.collect()
    assert (owner(), value(), len(cache)) == (None, None, 1)
    assert kept() is not None


def test_the_least_recently_used_goes_first() -> None:
    """However long its owners live."""
    cache: WeakCache[int] = WeakCache(2)
    owners = [Owner() for _ in range(3)]
    for number, owner in enumerate(owners[:2]):
        cache.get((owner,), lambda number=number: number)  # type: ignore[misc]  # The loop's own number.
    assert cache.get((owners[0],), lambda: -1) == 0
    cache.get((owners[2],), lambda: 2)
    assert [cache.get((owner,), lambda: -1) for owner in (owners[0], owners[2], owners[1])] == [0, 2, -1]
