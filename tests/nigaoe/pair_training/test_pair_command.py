"""`nigaoe train pair` as a user types it: a toy pair from start to report, through failures and kills."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nigaoe.pair_training.journal import read_journal
from nigaoe.pair_training.packing import LARGEST
from nigaoe.pair_training.pair_folder import PairPaths
from nigaoe.pair_training.training import locked
from nigaoe_core.registry import Registry
from nigaoe_faces.align import DEMO
from nigaoe_model.portrait.pair import load_generator, load_pair
from nigaoe_model.training.dataset import IMAGES, DatasetCard, write_card
from nigaoe_model.training.run_log import read_log

NETWORKS = """
batch = 8
total_images = 64
[architecture]
resolution = 16
channels = { 4 = 8, 8 = 8, 16 = 6 }
z_dim = 8
w_dim = 8
mapping_layers = 2
[regularisation]
r1_gamma = 0.1
path_length_every = 4
[cadence]
log_images = 16
grid_images = 32
score_images = 32
score_samples = 16
[compute]
device = "cpu"
precision = "fp32"
threads = 1
[freeze]
trainable_blocks = 2
"""
PAIR = """
name = "toy"
[datasets]
faces = "{folder}/faces"
drawings = "{folder}/drawings"
[runs.g_ori]
kind = "generator"
dataset = "faces"
config = "{folder}/networks.toml"
[runs.anime]
kind = "style"
dataset = "drawings"
config = "{folder}/networks.toml"
settings = {{ domain = "anime" }}
"""
WHOLE = (
    PAIR
    + """
photo_latents = "found"
title = "Anime"
[runs.encoder]
kind = "encoder"
dataset = "faces"
[runs.encoder.settings]
total_images = 16
batch = 4
network = {{ widths = [8, 8, 8] }}
compute = {{ threads = 1, device = "cpu" }}
cadence = {{ log_images = 4, score_images = 0, score_faces = 4 }}
[runs.found]
kind = "latents"
dataset = "faces"
encoder = "encoder"
count = 2
width = 2
threads = 1
[[stages]]
name = "generator"
share = 4
runs = ["g_ori"]
[[stages]]
name = "side by side"
share = 4
runs = ["anime", "encoder"]
[[stages]]
name = "latents"
share = 1
runs = ["found"]
[[stages]]
name = "with photos"
share = 2
runs = ["anime"]
settings = {{ anime = {{ total_images = 96 }} }}
[report]
share = 1
samples = 16
photos = 4
threads = 1
"""
)
BROKEN = (
    PAIR
    + """
[runs.tv]
kind = "style"
dataset = "faces"
config = "{folder}/networks.toml"
[[stages]]
name = "generator"
share = 1
runs = ["g_ori"]
[[stages]]
name = "styles"
share = 1
runs = ["anime", "tv"]
"""
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets of 16 px, one of 32 px, and the configs."""
    folder = tmp_path_factory.mktemp("ground")
    random = np.random.default_rng(0)
    for name, side in (("faces", 16), ("drawings", 16), ("large", 32)):
        (folder / name).mkdir()
        slopes = random.uniform(-100, 100, (40, 3, 1, 1)) * np.linspace(0, 1, side)
        pixels = np.clip(128 + slopes + np.zeros((40, 3, side, side)), 0, 255).astype(np.uint8)
        (folder / name / IMAGES).write_bytes(pixels.tobytes())
        write_card(folder / name, DatasetCard(name=name, resolution=side, count=40, alignment=DEMO))
    (folder / "networks.toml").write_text(NETWORKS)
    (folder / "whole.toml").write_text(WHOLE.format(folder=folder))
    (folder / "broken.toml").write_text(BROKEN.format(folder=folder))
    return folder


def command(config: Path, folder: Path, *more: str | Path) -> list[str]:
    words = ("train", "pair", config, "--output", folder, *more)
    return [sys.executable, "-m", "nigaoe", *map(str, words)]


def run(config: Path, folder: Path, *more: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = command(config, folder, *more)
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=580, env=environment)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_whole_pair_from_one_command(ground: Path, tmp_path: Path) -> None:
    """Generator, style, encoder, latents, the style again with them, the report; packed, and joined elsewhere."""
    folder, packed = tmp_path / "pair", tmp_path / "packed"
    done = run(ground / "whole.toml", folder, "--minutes", "12", "--pack", packed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Stage 4 of 4, with photos: anime" in done.stdout
    paths = PairPaths(folder)
    journal = read_journal(paths.journal)
    assert all(journal.is_done(stage) for stage in range(4))

    registry = Registry.load(paths.weights)
    style = registry.style("anime")
    assert (style.title, style.facts is not None) == ("Anime", True)
    g_ori = load_generator(paths.weight("g_ori"), encoder=paths.weight("encoder"))
    assert load_pair("anime", g_ori, paths.weight("anime")).trunk_resolution == 4
    assert any("fd_photos" in line for line in read_log(paths.run("anime")))

    page = (paths.report / "report.html").read_text()
    assert "with photos" in page
    assert page.count("data:image/png;base64,") >= 4
    measures = json.loads((paths.report / "measures.json").read_text())
    assert {"fd_effnet", "fd_of_the_data's_halves", "fd_in_floors"} <= measures["anime"].keys()
    assert list(paths.report.glob("*.png"))

    assert all(path.stat().st_size < LARGEST for path in packed.iterdir())
    elsewhere = run(ground / "whole.toml", tmp_path / "elsewhere", "--minutes", "12", "--unpack", packed)
    assert elsewhere.returncode == 0, elsewhere.stdout + elsewhere.stderr
    assert "Stage" not in elsewhere.stdout
    for path in paths.weights.iterdir():
        assert (tmp_path / "elsewhere" / "weights" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(900)
def test_failures_and_kills_cost_little(ground: Path, tmp_path: Path) -> None:
    """A wrong data set fails one style and not its neighbour; kill -9; the same command goes on to the end."""
    folder, endless = tmp_path / "pair", ("--set", "runs.anime.settings.total_images=1000000")
    wrong = run(ground / "broken.toml", folder, "--minutes", "8", "--set", f"datasets.drawings={ground / 'large'}")
    assert wrong.returncode == 1, wrong.stdout
    assert "`anime` failed" in " ".join(wrong.stderr.split())
    paths = PairPaths(folder)
    done = {name: record.done for name, record in read_journal(paths.journal).stages[1].items()}
    assert done == {"anime": False, "tv": True}

    training = subprocess.Popen(
        command(ground / "broken.toml", folder, "--minutes", "8", *endless), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while not read_log(paths.run("anime")):
        assert time.monotonic() < deadline
        assert training.poll() is None
        time.sleep(0.05)
    training.send_signal(signal.SIGKILL)
    training.wait()
    with locked(paths):  # The style, left alone, saves and ends.
        before = read_log(paths.run("anime"))[-1]["images"]
    enough = ("--set", f"runs.anime.settings.total_images={int(before) + 64}")
    rest = run(ground / "broken.toml", folder, "--minutes", "8", *enough)
    assert rest.returncode == 0, rest.stdout + rest.stderr
    assert "g_ori" not in rest.stdout.partition("The report")[0].replace(str(folder), "")
    images = [line["images"] for line in read_log(paths.run("anime"))]
    assert images == sorted(images)
    assert images[-1] > before


def test_a_forecast_takes_no_torch_and_no_data(tmp_path: Path) -> None:
    """`--dry-run` tells minutes and images of each stage from a given pace; nothing is made, torch is not loaded."""
    script = (
        "import sys; from nigaoe.cli import main; sys.argv = ['nigaoe', 'train', 'pair', 'pair128', '--dry-run', "
        "'--minutes', '10', '--images-per-second', '1500', '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])})  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert rows[0] == {"stage": "the generator", "run": "g_ori", "seconds": pytest.approx(270), "images": 405_000}
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_said_before_anything_runs(ground: Path, tmp_path: Path) -> None:
    """A data set that is not there, no minutes, and a folder with another pair."""
    missing = run(ground / "whole.toml", tmp_path / "pair", "--minutes", "1", "--set", "datasets.faces=nowhere")
    assert missing.returncode == 1
    assert "--set datasets.faces=FOLDER" in " ".join(missing.stderr.split())
    assert run(ground / "whole.toml", tmp_path / "pair").returncode == 2
