"""When a run logs, saves and scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigaoe_model.training.schedule import Cadence, Schedule


def schedule_of(
    images_seen: int = 0, *, batch: int = 8, save_seconds: float = 300, score_share: float = 1.0
) -> Schedule:
    cadence = Cadence(10**6, batch, log_images=100, save_seconds=save_seconds, score_images=0, score_share=score_share)
    return Schedule(cadence, images_seen)


@given(st.integers(1, 64), st.integers(1, 300), st.integers(1, 200))
def test_every_multiple_is_met_once(batch: int, every: int, steps: int) -> None:
    """However batch and cadence divide, each step that passed a multiple is due, and no other."""
    schedule = schedule_of(batch=batch)
    ends = [batch * (step + 1) for step in range(steps)]
    due = [schedule.crossed(images, every) for images in ends]
    assert sum(due) == len({images // every for images in ends} - {0})


def test_a_cadence_of_zero_is_never_due() -> None:
    """Zero turns a thing off."""
    assert not schedule_of().crossed(8, 0)


def test_a_state_is_due_until_it_is_saved() -> None:
    """With no patience at all a state is always due, with much it is not."""
    assert schedule_of(save_seconds=0).saving_is_due()
    patient = schedule_of(save_seconds=3600)
    patient.saved()
    assert not patient.saving_is_due()


def test_the_pace_counts_from_the_last_line() -> None:
    """A run that goes on at 1,000 images does not count them again."""
    schedule = schedule_of(1000)
    assert schedule.images_per_second(1000) == 0
    assert schedule.images_per_second(1800) > 0


@given(st.floats(0.01, 100), st.floats(0.05, 0.95))
def test_scores_take_their_share_of_the_time(seconds: float, share: float) -> None:
    """The first is always made; the next one waits until both together would keep to the share."""
    clock = _Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nigaoe_model.training.schedule.time", clock)
        schedule = schedule_of(score_share=share)
        assert schedule.scoring_is_affordable()
        schedule.scored(seconds)
        training = seconds * (1 - share) / share
        clock.now += training * 0.99
        assert not schedule.scoring_is_affordable()
        clock.now += training * 0.02
        assert schedule.scoring_is_affordable()


class _Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now
