"""The TOML of a pair: presets that fit together, and mistakes that are explained before a minute is spent."""

from typing import Any

import pytest

from nigaoe.pair_training.commands import flat
from nigaoe.pair_training.config import PRESETS, EncoderRun, LatentsRun, PairConfig, load_pair_config
from nigaoe.pair_training.forecast import Pace, forecast, given_paces
from nigaoe.pair_training.journal import Journal
from nigaoe_core.errors import TrainingError
from nigaoe_model.training.config import TrainingConfig, change_config, load_config
from nigaoe_model.training.encoder.config import EncoderConfig

PAIR: dict[str, Any] = {
    "datasets": {"faces": "f", "anime": "a"},
    "runs": {
        "g_ori": {"kind": "generator", "dataset": "faces"},
        "anime": {"kind": "style", "dataset": "anime", "photo_latents": "found"},
        "tv": {"kind": "style", "dataset": "anime"},
        "encoder": {"kind": "encoder", "dataset": "faces"},
        "found": {"kind": "latents", "dataset": "faces", "encoder": "encoder"},
    },
    "stages": [
        {"name": "one", "share": 4, "runs": ["g_ori"]},
        {"name": "two", "share": 2, "runs": ["anime", "tv", "encoder"]},
        {"name": "three", "share": 1, "runs": ["found"]},
        {"name": "four", "share": 2, "runs": ["anime"]},
    ],
    "report": {"share": 1},
}


def changed(change: dict[str, Any]) -> dict[str, Any]:
    """The pair with one table's entries replaced."""
    document = {name: value.copy() for name, value in PAIR.items()}
    for name, value in change.items():
        document[name] = document[name] | value if isinstance(value, dict) else value
    return document


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_together(name: str) -> None:
    """Every setting that a run changes is one, of ten minutes g_ori and the styles get more than four each."""
    config = load_pair_config(name)
    for run in config.runs.values():
        if isinstance(run, LatentsRun):
            continue
        changes = flat(config.settings.get(run.kind, {})) | flat(run.settings)
        if isinstance(run, EncoderRun):
            change_config(EncoderConfig(), changes)
        else:
            load_config(TrainingConfig, run.config, changes)
    minutes: dict[str, float] = {}
    for row in forecast(config, 10, {}):
        minutes[row.stage] = row.seconds / 60
    assert sum(minutes.values()) + config.report.share == pytest.approx(10)
    assert minutes["the generator"] == pytest.approx(4.5)
    assert minutes["styles"] == pytest.approx(4.2)
    assert minutes["encoder"] + minutes["latents of photos"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"runs": {"tv": {"kind": "style", "datset": "anime"}}}, "did you mean `runs.tv.dataset`?"),
        ({"runs": {"other": {"kind": "generator", "dataset": "faces"}}}, "one run of kind `generator`, not 2"),
        ({"runs": {"other": {"kind": "style", "dataset": "anime"}}}, "no stage names the run `other`"),
        ({"runs": {"tv": {"kind": "style", "dataset": "none"}}}, "which [datasets] does not name"),
        ({"runs": {"found": {"kind": "latents", "dataset": "faces", "encoder": "tv"}}}, "no run of that kind"),
        ({"stages": [*PAIR["stages"], {"name": "x", "share": 1, "runs": ["nobody"]}]}, "`nobody`, which is no run"),
        ({"stages": [*PAIR["stages"], {"name": "x", "share": 0, "runs": ["tv"]}]}, "must be greater than 0, not `0`"),
        ({"stages": [*PAIR["stages"], {"name": "x", "share": 1, "runs": ["tv", "tv"]}]}, "names a run twice"),
        ({"stages": [*PAIR["stages"], {"name": "x", "share": 1, "runs": ["g_ori"]}]}, "needs the finished generator"),
        (
            {"stages": [*PAIR["stages"], {"name": "x", "share": 1, "runs": ["tv"], "settings": {"anime": {}}}]},
            "has settings of `anime`, which does not run in it",
        ),
        ({"stages": PAIR["stages"][:3]}, "needs `found`, to which no earlier stage gives time"),
    ],
)
def test_mistakes_are_explained(change: dict[str, Any], sentence: str, tmp_path: Any) -> None:
    """Each ends in a sentence that names the run or the stage."""
    import tomli_w

    path = tmp_path / "pair.toml"
    path.write_text(tomli_w.dumps(changed(change)))
    with pytest.raises(TrainingError) as caught:
        load_pair_config(str(path))
    assert sentence in caught.value.message


def test_stages_share_the_minutes_and_what_is_left_over() -> None:
    """Ten minutes by share; a stage that ended early leaves its rest to the others, in proportion."""
    journal = Journal.begin(PairConfig.model_validate(PAIR), 10)
    assert [journal.allowance(stage) for stage in range(4)] == pytest.approx([240, 120, 60, 120])
    journal.stages[0]["g_ori"].seconds, journal.stages[0]["g_ori"].done = 60, True
    assert [journal.allowance(stage) for stage in (1, 2, 3)] == pytest.approx([180, 90, 180])
    journal.stages[1]["anime"].seconds = 100
    assert journal.allowance(1) == pytest.approx(180)


def test_neighbours_share_a_given_pace() -> None:
    """1,200 images a second alone are 400 each for three; what a stage spends on other things is taken off."""
    config = PairConfig.model_validate(PAIR)
    rows = {(row.stage, row.run): row.images for row in forecast(config, 10, given_paces(config, 1200))}
    assert rows["one", "g_ori"] == 288_000
    assert rows["two", "tv"] == 48_000
    assert rows["three", "found"] == 1_000
    (first, *_) = forecast(config, 10, {"g_ori": Pace(1200, other_seconds=40)})
    assert first.images == 240_000
