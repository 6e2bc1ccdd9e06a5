from nigaoe_worker.self_check import LONGEST_LOOK, DeviceWatchdog, SelfCheck


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


def test_a_step_without_an_end_is_noticed() -> None:
    """The same step at every look, until its time is up; looks at a device that goes on never add up."""
    clock = Clock()
    watchdog, hung = DeviceWatchdog(10.0, clock), []
    for activity in (1, 2, None, 3, 3, 3, 3, 3, 3):
        clock.now += 2.0
        hung.append(watchdog.is_hung(activity))
    assert hung == [False] * 8 + [True]


def test_a_process_that_was_suspended_does_not_blame_its_device() -> None:
    """An hour passed between two looks, for the watchdog as well: it counts for no more than one look."""
    clock = Clock()
    watchdog = DeviceWatchdog(2 * LONGEST_LOOK, clock)
    watchdog.is_hung(1)
    clock.now += 3600
    assert not watchdog.is_hung(1)
    clock.now += LONGEST_LOOK
    assert watchdog.is_hung(1)


def test_without_a_limit_a_step_may_take_for_ever() -> None:
    """0 says so."""
    clock = Clock()
    watchdog = DeviceWatchdog(0.0, clock)
    for _ in range(100):
        clock.now += LONGEST_LOOK
        assert not watchdog.is_hung(1)
