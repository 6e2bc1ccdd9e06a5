"""`nigaoe train encoder` as a user types it, and `nigaoe train` as it always was."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from nigaoe.cli import app
from nigaoe_core.errors import TrainingError, UsageError
from nigaoe_faces.align import DEMO
from nigaoe_model.inversion.encoder.checkpoint import load_encoder, load_encoder_of
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents
from nigaoe_model.training.dataset import IMAGES, DatasetCard, write_card
from nigaoe_model.training.run_log import read_log

Run = Callable[..., subprocess.CompletedProcess[str]]

QUICK = ("--set", "batch=4", "--set", "network.widths=[8,8,8]", "--set", "cadence.log_images=8",
         "--set", "cadence.score_images=16", "--set", "cadence.score_faces=4", "--set", "compute.threads=1",
         "--set", "compute.device=cpu")  # fmt: skip


def run(*arguments: str | Path) -> str:
    """Run the command in this process; it must succeed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def plain(text: str) -> str:
    """Take colours and line breaks out of a help text."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of 16 pixels, and forty packed photos."""
    folder = tmp_path_factory.mktemp("ground")
    torch.manual_seed(0)
    shape = Architecture(resolution=16, channels={4: 8, 8: 8, 16: 4}, z_dim=8, w_dim=8, mapping_layers=2)
    generator = Generator(shape).eval()
    card = CheckpointCard(name="base", architecture=shape, alignment=DEMO, domain="human", licence="CC0-1.0")
    statistics = measure_latents(generator, samples=300)
    save_checkpoint(Checkpoint(card, generator.state_dict(), statistics=statistics), folder / "g_ori.safetensors")
    photos = folder / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    (photos / IMAGES).write_bytes(pixels.tobytes())
    write_card(photos, DatasetCard(name="photos", resolution=16, count=40, alignment=DEMO))
    return folder


def test_a_run_leaves_an_encoder_that_fits(ground: Path, tmp_path: Path) -> None:
    """Log, best and latest; bound to its generator; photos that were held back are examined."""
    output = run("train", "encoder", ground / "g_ori.safetensors", "--dataset", ground / "photos", "-o", tmp_path / "e",
                 "--images", "32", *QUICK)  # fmt: skip
    assert "Stopped after 32 images" in output
    lines = read_log(tmp_path / "e")
    examined = [line for line in lines if "photo_start" in line]
    assert [line["images"] for line in examined] == [16, 32]
    assert all("code" in line and "distance" in line for line in lines if "images_per_second" in line)
    encoder = load_encoder(tmp_path / "e" / "best.safetensors")
    assert encoder.card.name == "base-encoder"
    assert encoder.card.licence == "CC0-1.0"
    assert encoder.card.training.datasets == ("photos",)
    assert encoder.card.training.metrics["photo_start"] > 0
    from nigaoe_model.portrait.pair import load_generator

    g_ori = load_generator(ground / "g_ori.safetensors")
    load_encoder_of(tmp_path / "e" / "latest.safetensors", g_ori.card, g_ori.digest)


def test_it_needs_no_photos_and_may_start_from_another(ground: Path, tmp_path: Path) -> None:
    """Own faces alone; a second run begins with the first one's weights and does not write over it."""
    once = ("train", "encoder", ground / "g_ori.safetensors", "--images", "8", *QUICK)
    run(*once, "-o", tmp_path / "first")
    run(*once, "-o", tmp_path / "second", "--init", tmp_path / "first" / "latest.safetensors",
        "--set", "optimiser.learning_rate=1e-12")  # fmt: skip
    first, second = (load_encoder(tmp_path / name / "latest.safetensors").tensors for name in ("first", "second"))
    assert not any("photo_start" in line for line in read_log(tmp_path / "first"))
    blank = torch.zeros_like(first["heads.weight"])
    assert not torch.equal(first["heads.weight"], blank)
    assert all(tensor.dtype == torch.float16 for name, tensor in first.items() if name not in ("mean", "std"))
    # The first one's file holds its average, from which the second begins.
    torch.testing.assert_close(first["heads.weight"], second["heads.weight"], atol=1e-6, rtol=1e-3)
    with pytest.raises(TrainingError, match="--resume-from"):
        run(*once, "-o", tmp_path / "first")


@pytest.mark.slow
def test_a_stopped_run_goes_on(ground: Path, tmp_path: Path) -> None:
    """SIGTERM saves and exports; the same folder then goes on to the end that is asked for."""
    folder = tmp_path / "stopped"
    command = [sys.executable, "-m", "nigaoe", "train", "encoder", str(ground / "g_ori.safetensors"), "-o", str(folder),
               "--dataset", str(ground / "photos"), "--images", "10000000", *QUICK]  # fmt: skip
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    deadline = time.monotonic() + 200
    while not read_log(folder):
        assert time.monotonic() < deadline
        assert process.poll() is None, (tmp_path / "output").read_text()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=200) == 0, (tmp_path / "output").read_text()
    seen = load_encoder(folder / "latest.safetensors").card.training.images_seen
    assert 0 < seen < 10_000_000
    run("train", "encoder", "--resume-from", folder, "--images", str(seen + 8))
    card = load_encoder(folder / "latest.safetensors").card
    assert card.training.images_seen == seen + 8
    assert card.training.datasets == ("photos",)
    assert card.training.recipe["network"]["widths"] == [8, 8, 8]


def test_the_resolved_settings_can_be_seen_first(ground: Path) -> None:
    """Nothing is trained; a name that nobody knows is an error, and so is an unnamed generator."""
    shown = json.loads(
        run("train", "encoder", ground / "g_ori.safetensors", "--dry-run", "--set", "code=2", "--images", "5")
    )
    assert (shown["code"], shown["total_images"]) == (2, 5)
    with pytest.raises(TrainingError, match="cod3"):
        run("train", "encoder", ground / "g_ori.safetensors", "--dry-run", "--set", "cod3=2")
    with pytest.raises(UsageError, match="generator"):
        run("train", "encoder")
    with pytest.raises(TrainingError, match="no encoder's run"):
        run("train", "encoder", "--resume-from", ground)


def test_a_precision_without_instructions_is_refused_in_one_sentence(ground: Path, nigaoe: Run) -> None:
    """Before a run's folder is made."""
    asked = ("train", "encoder", ground / "g_ori.safetensors", "-o", ground / "unmade", *QUICK)
    result = nigaoe(*asked, "--set", "compute.precision=bf16", ONEDNN_MAX_CPU_ISA="AVX2")
    assert result.returncode == 2
    assert "set compute.precision to fp32 or auto" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (ground / "unmade").exists()


def test_training_a_generator_needs_no_new_word(tmp_path: Path) -> None:
    """`nigaoe train DATASET` is what it was, with its help; the long form means the same."""
    short, long = (run(*words, tmp_path, "--dry-run") for words in (("train",), ("train", "generator")))
    assert json.loads(short) == json.loads(long)
    assert json.loads(short)["name"] == "g_ori"
    told, told_of_encoders = (plain(run(*words, "--help")) for words in (("train",), ("train", "encoder")))
    assert "--init-discriminator" in told
    assert "train encoder" in told
    assert "--held-out" in told_of_encoders
