"""Settings refuse nonsense before any slot is spent on it."""

import pytest
from pydantic import ValidationError

from nigaoe_model.inversion.settings import PRESETS, InversionSettings, LossWeights


@pytest.mark.parametrize(
    "nonsense",
    [
        {"steps": 0},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"space": "z"},
        {"beta2": 1},
        {"warm_up": 1.5},
        {"target_distance": -1},
        {"weights": {"pixel": -0.1}},
        {"weights": {"identity": 1}},
        {"weights": {"perceptual": 0, "pixel": 0}},
        {"plateau": {"window": 0}},
        {"stpes": 3},
    ],
)
def test_nonsense_is_refused(nonsense: dict[str, object]) -> None:
    """Each of these is an error with the field's name."""
    with pytest.raises(ValidationError):
        InversionSettings.model_validate(nonsense)


def test_settings_survive_json() -> None:
    """A report can hold the settings, and a run can be repeated from it."""
    settings = InversionSettings(steps=7, space="w", weights=LossWeights(mahalanobis=0.1), target_distance=0.2)
    assert InversionSettings.model_validate_json(settings.model_dump_json()) == settings


def test_dearer_presets_do_more() -> None:
    """Instant searches nothing; draft, standard and best have ever more steps."""
    steps = [settings.steps for settings in PRESETS.values()]
    assert list(PRESETS) == ["instant", "draft", "standard", "best"]
    assert steps[0] == 0
    assert steps == sorted(set(steps))


def test_without_steps_there_must_be_a_guess() -> None:
    """The mean face is nobody's portrait."""
    with pytest.raises(ValidationError, match="must be `encoder`"):
        InversionSettings(steps=0)
