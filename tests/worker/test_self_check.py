from worker.self_check import SelfCheck


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_that_fetches_nothing_is_deaf() -> None:
    """Messages wait, it has nothing to do, and nothing comes for half a minute."""
    clock = Clock()
    check = SelfCheck(30.0, clock)
    assert not check.is_deaf(messages=2, fetched=0, is_busy=False)
    clock.now = 29.0
    assert not check.is_deaf(messages=2, fetched=0, is_busy=False)
    clock.now = 30.0
    assert check.is_deaf(messages=2, fetched=0, is_busy=False)


def test_any_sign_of_life_starts_the_clock_again() -> None:
    """It fetched, or is busy, or nothing waits, or Redis is away: none of these is deafness."""
    clock = Clock()
    check = SelfCheck(30.0, clock)
    signs = (
        {"messages": 2, "fetched": 1, "is_busy": False},
        {"messages": 2, "fetched": 1, "is_busy": True},
        {"messages": 0, "fetched": 1, "is_busy": False},
        {"messages": None, "fetched": 1, "is_busy": False},
    )
    for sign in signs:
        check.is_deaf(messages=2, fetched=0 if sign is signs[0] else 1, is_busy=False)
        clock.now += 29.0
        assert not check.is_deaf(**sign)
        clock.now += 29.0
        assert not check.is_deaf(messages=2, fetched=1, is_busy=False)
