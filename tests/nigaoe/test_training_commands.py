"""From pictures to a fine-tuned generator on the command line, as a user does it."""

import json
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from nigaoe.cli import app
from nigaoe_core.errors import ParentMismatch, UsageError
from nigaoe_faces.align import DEMO
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, load_checkpoint, save_checkpoint
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.run_log import read_log

Run = Callable[..., subprocess.CompletedProcess[str]]

TOY = """
name = "toy"
batch = 8
total_images = 96

[architecture]
resolution = 32
channels = { 4 = 16, 8 = 16, 16 = 8, 32 = 8 }
z_dim = 16
w_dim = 16
mapping_layers = 2

[regularisation]
r1_gamma = 0.1
path_length_every = 4

[moments]
weight = 1.0
samples = 64

[cadence]
log_images = 32
grid_images = 64
score_images = 64
score_samples = 32
save_seconds = 0.01

[compute]
device = "cpu"
precision = "fp32"
threads = 1
"""


def draw_face(random: np.random.Generator, style: str) -> bytes:
    """A head, two eyes and a mouth of random colours and places, as PNG."""
    y, x = np.mgrid[0:48, 0:48] / 48
    picture = np.ones((48, 48, 3)) * random.uniform(0, 1, 3)
    cx, cy = 0.5 + random.uniform(-0.08, 0.08), 0.55 + random.uniform(-0.05, 0.05)
    picture[((x - cx) / 0.3) ** 2 + ((y - cy) / 0.38) ** 2 < 1] = random.uniform(0.5, 1, 3)
    eye = 0.09 if style == "drawn" else 0.04
    for side in (-0.12, 0.12):
        picture[(x - cx - side) ** 2 + (y - cy + 0.08) ** 2 < eye**2] = random.uniform(0, 0.4, 3)
    picture[(abs(x - cx) < 0.1) & (abs(y - cy - 0.18) < 0.03)] = (0.7, 0.2, 0.2)
    picture += random.normal(0, 0.03, picture.shape)
    file = BytesIO()
    Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def run(*arguments: str | Path) -> str:
    """Run the command in this process; it must succeed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 100 photos, a zip of 100 drawings, and both packed by the command."""
    folder = tmp_path_factory.mktemp("toy")
    random = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(100):
        (folder / "photos" / f"{number:03}.png").write_bytes(draw_face(random, "photo"))
    (folder / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (folder / "photos" / "tiny.png").write_bytes(_blank(12))
    (folder / "photos" / "zz-again.png").write_bytes((folder / "photos" / "000.png").read_bytes())
    with zipfile.ZipFile(folder / "drawings.zip", "w") as archive:
        for number in range(100):
            archive.writestr(f"{number:03}.png", draw_face(random, "drawn"))
    (folder / "toy.toml").write_text(TOY)
    as_is = ("--as-is", "--alignment", "demo", "--resolution", "32", "--workers", "1", "--duplicate-distance", "0")
    run("data", "prepare", folder / "photos", "-o", folder / "faces", *as_is)
    run("data", "prepare", folder / "drawings.zip", "-o", folder / "anime", *as_is)
    return folder


def _blank(side: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (side, side)).save(file, "PNG")
    return file.getvalue()


def test_prepare_counts_what_it_leaves_out(toy: Path) -> None:
    """Broken, tiny and repeated pictures are named, the rest is packed with its provenance."""
    dataset = PackedDataset(toy / "faces")
    assert dataset.card.dropped["broken"] == 1
    assert dataset.card.dropped["too_small"] == 1
    assert dataset.card.dropped["duplicate"] >= 1
    assert dataset.card.sources == {"photos": 103}
    assert len(dataset) == 103 - sum(dataset.card.dropped.values())
    lines = [json.loads(line) for line in (toy / "faces" / "items.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines if line.get("dropped") == "broken"] == ["broken.png"]


@pytest.mark.slow
def test_a_toy_pair_from_pictures_alone(toy: Path) -> None:
    """Prepare, train, fine-tune: two checkpoints that belong together, scores, sheets and a log."""
    run("train", toy / "faces", "--config", toy / "toy.toml", "-o", toy / "g_ori")
    g_ori = load_checkpoint(toy / "g_ori" / "latest.safetensors")
    assert g_ori.card.training.images_seen == 96
    assert load_checkpoint(toy / "g_ori" / "latest-discriminator.safetensors").discriminator
    assert list((toy / "g_ori" / "grids").glob("*.png"))
    assert any("fd_effnet" in line for line in read_log(toy / "g_ori"))

    run("finetune", toy / "g_ori" / "latest.safetensors", toy / "anime", "--config", toy / "toy.toml",
        "--set", "freeze.freeze_d=1", "--set", "name=toy-anime", "--set", "domain=anime", "--trainable-blocks", "2",
        "-o", toy / "g_fin")  # fmt: skip
    g_fin = load_checkpoint(toy / "g_fin" / "best.safetensors")
    assert g_fin.card.parent_sha256 == g_ori.digest
    assert (g_ori.palette, g_fin.palette is None) == (None, False)
    assert (g_fin.card.trainable_blocks, g_fin.card.domain) == (2, "anime")
    learned = {name for name, tensor in g_fin.generator.items() if not torch.equal(tensor, g_ori.generator[name])}
    assert learned
    assert all(".b16." in name or ".b32." in name for name in learned)
    assert "noise_const" not in " ".join(learned)

    report = toy / "report.html"
    output = run("metrics", toy / "g_fin" / "best.safetensors", toy / "anime", "--samples", "16", "--faces", "4",
                 "--steps", "2", "--parent", toy / "g_ori" / "latest.safetensors", "--run", toy / "g_fin",
                 "--html", report, "--json")  # fmt: skip
    tables = json.loads(output)
    assert tables["generator"]["fd_effnet"] > 0
    assert tables["pair"]["retrieval.candidates"] == 4
    assert -1 <= tables["person"]["identity, redrawn"] <= 1
    assert 0 <= tables["person"]["sex kept"] <= 1
    assert report.read_text().count("data:image/png;base64,") == 3


@pytest.mark.slow
def test_a_style_may_learn_from_latents_of_photos(toy: Path) -> None:
    """Search a few photos, show their latents to the fine-tune; another generator's latents are refused."""
    latents = toy / "latents.safetensors"
    short = ("--config", toy / "toy.toml", "--set", "total_images=16", "--set", "cadence.score_images=0")
    for name, seed in (("base", 0), ("other", 1)):
        run("train", toy / "faces", "-o", toy / name, *short, "--set", f"compute.seed={seed}")
    output = run("data", "latents", toy / "base" / "latest.safetensors", toy / "faces", "-o", latents, "--count", "3")
    assert "3 latents in" in output
    style = (toy / "anime", *short, "--trainable-blocks", "1", "--photo-latents", latents)
    run("finetune", toy / "base" / "latest.safetensors", *style, "-o", toy / "shown")
    card = load_checkpoint(toy / "shown" / "latest.safetensors").card
    assert card.training.recipe["photo_latents"]["share"] == 0.5
    assert json.loads((toy / "shown" / "config.json").read_text())["photo_latents"] == str(latents)
    with pytest.raises(ParentMismatch):
        run("finetune", toy / "other" / "latest.safetensors", *style, "-o", toy / "refused")


@pytest.mark.slow
def test_smaller_networks_can_be_grown(toy: Path) -> None:
    """`--grow` takes generator and discriminator of 16 px into a run of 32 px; the checkpoint has statistics of all
    its layers."""
    shape = Architecture(resolution=16, channels={4: 16, 8: 16, 16: 8}, z_dim=16, w_dim=16, mapping_layers=2)
    card = CheckpointCard(name="small", architecture=shape, alignment=DEMO, domain="human")
    small = toy / "small.safetensors"
    save_checkpoint(Checkpoint(card, Generator(shape).state_dict(), Discriminator(shape).state_dict()), small)
    command = ("train", toy / "faces", "--config", toy / "toy.toml", "--grow", small, "--init-discriminator", small,
               "--set", "total_images=16", "--set", "cadence.score_images=0")  # fmt: skip
    run(*command, "-o", toy / "grown")
    grown = load_checkpoint(toy / "grown" / "latest.safetensors")
    assert grown.card.architecture.resolution == 32
    assert grown.statistics is not None
    assert grown.statistics.mean.shape == (8, 16)
    with pytest.raises(UsageError, match="one of the two"):
        run(*command, "--init", small, "-o", toy / "refused")


@pytest.mark.slow
def test_two_processes_train_one_network(toy: Path) -> None:
    """Under torchrun the batch is shared, one process writes, and the run ends with the images it was asked for."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "nigaoe",
               "train", str(toy / "faces"), "--config", str(toy / "toy.toml"), "-o", str(toy / "team"),
               "--set", "total_images=32", "--set", "cadence.score_images=32", "--set", "cadence.grid_images=0",
               "--set", "moments.weight=0"]  # fmt: skip
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("Stopped after") == 1
    lines = read_log(toy / "team")
    assert [line["images"] for line in lines] == [32, 32]
    assert lines[-1]["fd_effnet"] > 0
    assert load_checkpoint(toy / "team" / "latest.safetensors").card.training.images_seen == 32


def test_dry_run_prints_the_resolved_config(toy: Path) -> None:
    """Nothing is trained, every setting is shown."""
    output = run("train", toy / "faces", "--config", "tiny64", "--set", "regularisation.r1_gamma=0.3", "--dry-run")
    assert json.loads(output)["regularisation"]["r1_gamma"] == 0.3


def test_a_precision_without_instructions_is_refused_in_one_sentence(toy: Path, nigaoe: Run) -> None:
    """Before a run's folder is made; PyTorch's own words would come in the middle of the first step."""
    asked = ("train", toy / "faces", "--config", toy / "toy.toml", "-o", toy / "refused", "--set")
    result = nigaoe(*asked, "compute.precision=bf16", ONEDNN_MAX_CPU_ISA="AVX2")
    assert result.returncode == 2
    assert "set compute.precision to fp32 or auto" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (toy / "refused").exists()


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_run_goes_on(toy: Path) -> None:
    """kill -9 in the middle; the resumed run's curve goes on where the saved state stands, to the end."""
    folder = toy / "killed"
    command = [sys.executable, "-m", "nigaoe", "train", str(toy / "faces"), "--config", str(toy / "toy.toml"),
               "-o", str(folder), "--set", "cadence.score_images=0", "--set", "total_images=100000"]  # fmt: skip
    with (toy / "killed.log").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    deadline = time.monotonic() + 200
    while not (folder / "state.safetensors").is_file() or len(read_log(folder)) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, (toy / "killed.log").read_text()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = read_log(folder)[-1]["images"]
    run("train", "--resume-from", folder, "--set", f"total_images={int(before) + 96}")
    after = read_log(folder)
    assert after[-1]["images"] > before
    assert load_checkpoint(folder / "latest.safetensors").card.training.images_seen == before + 96


def test_errors_name_the_way_out(toy: Path, tmp_path: Path) -> None:
    """A wrong resolution, an unknown setting and a finished target end in sentences, not in tracebacks."""
    from nigaoe_core.errors import DatasetError, TrainingError

    with pytest.raises(TrainingError, match="--resolution 64"):
        run("train", toy / "faces", "--config", "tiny64", "-o", tmp_path / "run")
    with pytest.raises(TrainingError, match="r1_gama"):
        run("train", toy / "faces", "--set", "regularisation.r1_gama=1", "--dry-run")
    with pytest.raises(DatasetError, match="finished"):
        run("data", "prepare", toy / "photos", "-o", toy / "faces", "--as-is", "--alignment", "demo")
