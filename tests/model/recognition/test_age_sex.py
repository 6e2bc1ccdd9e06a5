"""face-api.js's network of age and sex against the original graph."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_model.recognition.age_sex import AgeSex, shared_age_sex


def test_the_original_graph_is_met(repository: Path) -> None:
    """Age, and the probability of looking male; what is left are the weights' 16 bits."""
    expected = load_file(repository / "tests" / "data" / "golden" / "face-api-expected.safetensors")
    chips = expected["age_gender.input"].float() / 127.5 - 1
    found = shared_age_sex()(torch.cat([chips, chips.flip(3)]))
    age, male, female = expected["age_gender.output"][0]
    assert male + female == pytest.approx(1, abs=1e-4)
    assert found.age[0] == pytest.approx(float(age), abs=0.05)
    assert found.male[0] == pytest.approx(float(male), abs=2e-3)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """One sentence, not a stack of keys."""
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    for path in (tmp_path / "x.safetensors", tmp_path / "missing.safetensors"):
        with pytest.raises(BrokenCheckpoint, match="age and sex"):
            AgeSex(path)
