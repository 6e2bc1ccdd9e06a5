"""`nigaoe train --method` as a user types it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nigaoe.cli import app
from nigaoe_core.errors import TrainingError, UsageError
from nigaoe_faces.align import DEMO
from nigaoe_model.compared.gans_n_roses_checkpoint import load_gans_n_roses
from nigaoe_model.training.dataset import IMAGES, DatasetCard, write_card
from nigaoe_model.training.run_log import read_log

TINY = """
name = "toy-roses"
licence = "CC0-1.0"
total_images = 16

[architecture]
size = 16
num_down = 1
channels = { 4 = 8, 8 = 8, 16 = 8 }
style_dim = 8
mapping_layers = 2
local_size = 8

[cadence]
log_images = 8
grid_images = 16
score_images = 16
score_samples = 8

[compute]
device = "cpu"
precision = "fp32"
threads = 1
"""

ROSES = ("train", "--method", "gans-n-roses")


def run(*arguments: str | Path) -> str:
    """Run the command in this process; it must succeed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed photos and anime faces of 16 pixels, and a config."""
    folder = tmp_path_factory.mktemp("ground")
    for name, alignment in (("faces", DEMO), ("anime", None), ("held-out", DEMO)):
        (folder / name).mkdir()
        pixels = np.random.default_rng(len(name)).integers(0, 256, (30, 3, 16, 16), dtype=np.uint8)
        (folder / name / IMAGES).write_bytes(pixels.tobytes())
        write_card(folder / name, DatasetCard(name=name, resolution=16, count=30, alignment=alignment))
    (folder / "tiny.toml").write_text(TINY)
    return folder


def test_two_data_sets_make_a_method(ground: Path, tmp_path: Path) -> None:
    """Log, sheet, score, best and latest; the run then goes on by its folder alone, to the end that is asked for."""
    folder = tmp_path / "run"
    output = run(*ROSES, ground / "faces", ground / "anime", "--held-out", ground / "held-out",
                 "--config", ground / "tiny.toml", "-o", folder)  # fmt: skip
    assert "Stopped after 16 images" in output
    assert [line["images"] for line in read_log(folder) if "fd_effnet" in line] == [16]
    assert (folder / "grids" / "000000016.png").is_file()
    card = load_gans_n_roses(folder / "best.safetensors").card
    assert (card.name, card.licence, card.alignment) == ("toy-roses", "CC0-1.0", DEMO)
    assert card.training.datasets == ("faces", "anime")
    assert card.training.metrics["FD-effnet"] > 0
    run("train", "--resume-from", folder, "--set", "total_images=24", "--set", "cadence.score_images=0")
    card = load_gans_n_roses(folder / "latest.safetensors").card
    assert card.training.images_seen == 24
    with pytest.raises(TrainingError, match="--resume-from"):
        run(*ROSES, ground / "faces", ground / "anime", "--config", ground / "tiny.toml", "-o", folder)


def test_the_resolved_settings_can_be_seen_first(ground: Path) -> None:
    """Nothing is trained, every setting is shown; each method has presets of its own."""
    asked = (*ROSES, ground / "faces", ground / "anime", "--dry-run")
    shown = json.loads(run(*asked, "--set", "weights.cycle=3"))
    assert (shown["weights"]["cycle"], shown["architecture"]["size"]) == (3, 64)
    assert json.loads(run(*asked, "--config", "gans-n-roses128"))["architecture"]["size"] == 128
    with pytest.raises(TrainingError, match="cycel"):
        run(*asked, "--set", "weights.cycel=3")
    with pytest.raises(TrainingError, match="gans-n-roses64, gans-n-roses128"):
        run(*asked, "--config", "gans-n-roses65")
    with pytest.raises(TrainingError, match="tiny64"):
        run(*asked, "--config", "tiny64")


def test_every_method_has_settings_of_its_own(ground: Path) -> None:
    """Its first preset is what a run begins with where no config is named."""
    sets = (ground / "faces", ground / "anime")
    shown = json.loads(run("train", "--method", "swapping-autoencoder", *sets, "--dry-run", "--set", "crops.count=4"))
    assert (shown["architecture"]["texture_dim"], shown["crops"]["count"]) == (384, 4)
    with pytest.raises(TrainingError, match="swapping-autoencoder64"):
        run("train", "--method", "swapping-autoencoder", *sets, "--dry-run", "--config", "gans-n-roses65")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*ROSES, "faces"), "two data sets"),
        ((*ROSES, "faces", "anime", "--grow", "g_ori.safetensors"), "`--grow` is for StyleGAN2"),
        ((*ROSES, "faces", "anime", "--init-average", "g_ori.safetensors"), "`--init-average` is for StyleGAN2"),
        (("train", "faces", "anime"), "by --method"),
        (("train", "faces", "--held-out", "held-out"), "by --method"),
    ],
)
def test_options_of_something_else_are_refused(arguments: tuple[str, ...], message: str) -> None:
    """A sentence that says whose they are, before anything is read."""
    with pytest.raises(UsageError, match=message):
        run(*arguments)


def test_a_run_knows_what_it_trains(ground: Path, tmp_path: Path) -> None:
    """Named otherwise, or no run at all: each has its sentence; an unknown method is refused with those there are."""
    (tmp_path / "config.json").write_text(json.dumps({"method": "gans-n-roses"}))
    with pytest.raises(TrainingError, match="run of --method gans-n-roses"):
        run("train", "--method", "stylegan2", "--resume-from", tmp_path)
    with pytest.raises(TrainingError, match="no method's run"):
        run("train", "--resume-from", tmp_path)
    with pytest.raises(TrainingError, match="no run that could be resumed"):
        run("train", "--resume-from", ground)
    result = CliRunner().invoke(app, ["train", "--method", "cyclegan", "faces"])
    assert result.exit_code == 2
    assert "gans-n-roses" in re.sub(r"\x1b\[[0-9;]*m", "", result.output)


def test_several_processes_are_refused(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is compared within itself, so it stays in one process; no folder is made."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="torchrun"):
        run(*ROSES, ground / "faces", ground / "anime", "--config", ground / "tiny.toml", "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()
