"""The commands of a pair's runs: new ones, and the same ones further on, wherever the folder lies by then."""

from pathlib import Path

import pytest

from nigaoe.pair_training.commands import command_of
from nigaoe.pair_training.config import PairConfig, load_pair_config
from nigaoe.pair_training.pair_folder import PairPaths
from nigaoe_model.training.plan import STATE


@pytest.fixture
def config() -> PairConfig:
    return load_pair_config("pair128")


def words(config: PairConfig, stage: int, name: str, paths: PairPaths) -> str:
    return " ".join(command_of(config, stage, name, paths)[3:])


def test_a_new_run_has_its_start_and_its_settings(config: PairConfig, tmp_path: Path) -> None:
    """g_ori starts from the bundled one, a style stands on this pair's g_ori and meets its discriminator."""
    paths = PairPaths(tmp_path)
    generator, style = words(config, 0, "g_ori", paths), words(config, 3, "anime", paths)
    assert generator.startswith("train generator data/faces128 --config tiny128 --init weights/g_ori.safetensors")
    assert generator.endswith("--set augmentation.ada_speed_images=200000 --set cadence.log_images=12800 --set "
                              "cadence.grid_images=102400 --set cadence.score_images=102400 --set "
                              "cadence.score_samples=1000 --set cadence.save_seconds=60")  # fmt: skip
    assert style.startswith(f"finetune {tmp_path}/weights/g_ori.safetensors data/anime128 --config anime64")
    assert f"--init-discriminator {tmp_path}/weights/g_ori-discriminator.safetensors" in style
    assert "--photo-latents" not in style


def test_a_run_goes_on_where_the_folder_is_now(config: PairConfig, tmp_path: Path) -> None:
    """Its parent, its data and the latents that were found meanwhile are named anew; no start is."""
    paths = PairPaths(tmp_path)
    paths.run("anime").mkdir(parents=True)
    (paths.run("anime") / STATE).touch()
    paths.latents("latents").parent.mkdir()
    paths.latents("latents").touch()
    style = words(config, 3, "anime", paths)
    latents = f"--photo-latents {tmp_path}/latents/latents.safetensors"
    parent = f"{tmp_path}/weights/g_ori.safetensors"
    assert style.startswith(f"finetune {parent} data/anime128 {latents} --resume-from {tmp_path}/runs/anime --set")
    assert "--init" not in style
    assert "--grow" not in style


def test_a_run_that_was_killed_before_its_first_state_begins_anew(config: PairConfig, tmp_path: Path) -> None:
    """Without a state there is nothing to go on from: its folder is cleared and its start is named again."""
    paths = PairPaths(tmp_path)
    paths.run("g_ori").mkdir(parents=True)
    (paths.run("g_ori") / "log.jsonl").write_text('{"images": 16}\n')
    assert "--init weights/g_ori.safetensors" in words(config, 0, "g_ori", paths)
    assert not paths.run("g_ori").exists()


def test_an_encoder_starts_from_the_one_that_learned_along(config: PairConfig, tmp_path: Path) -> None:
    """Reconstruction leaves an encoder beside g_ori's checkpoints; a file that the config names comes before it."""
    paths = PairPaths(tmp_path)
    folder = paths.run("g_ori")
    folder.mkdir(parents=True)
    assert "--init" not in words(config, 1, "encoder", paths)
    for stem in ("best", "latest"):  # What goes on into the pair is the last one, where there is one.
        (folder / f"{stem}.safetensors").touch()
        (folder / f"{stem}-encoder.safetensors").touch()
    assert f"--init {folder}/latest-encoder.safetensors" in words(config, 1, "encoder", paths)
    document = config.model_dump()
    document["runs"]["encoder"]["init"] = "mine.safetensors"
    assert "--init mine.safetensors" in words(PairConfig.model_validate(document), 1, "encoder", paths)
