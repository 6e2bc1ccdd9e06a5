import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processors import needs_bf16

from nigaoe_core.errors import CheckpointError, UnknownStyle
from nigaoe_core.settings import Settings
from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.portrait.pair import load_generator
from nigaoe_model.portrait.upscale import LARGE_FILE
from nigaoe_worker.model_cache import ModelCache

Installed = Callable[..., Path]


@pytest.fixture
def own(tmp_path: Path, settings: Settings, installed: Installed) -> tuple[Path, ModelCache]:
    """A folder of weights that a story may change, and its cache."""
    folder = installed(tmp_path / "weights", "anime")
    return folder, ModelCache(settings.model_copy(update={"weights_dir": folder}), "cpu")


def test_styles_share_their_parent(models: ModelCache) -> None:
    """Two styles, one g_ori in memory."""
    anime, ink = models.pair("anime"), models.pair("ink")
    assert models.styles == ("anime", "ink")
    assert anime.g_ori is ink.g_ori
    assert anime.g_fin.digest != ink.g_fin.digest


def test_an_operator_may_choose(settings: Settings) -> None:
    """Only what is named is loaded; anything else is unknown here."""
    models = ModelCache(settings.model_copy(update={"styles": " ink "}), "cpu")
    models.load()
    assert models.styles == ("ink",)
    with pytest.raises(UnknownStyle, match="ink"):
        models.pair("anime")


def test_a_new_style_appears_and_the_old_stay_the_same(own: tuple[Path, ModelCache], installed: Installed) -> None:
    """Hot reload: what did not change keeps its generators, so running slots and caches stay valid."""
    folder, models = own
    models.load()
    before = models.pair("anime")
    assert not models.is_outdated()
    installed(folder, "anime", "ink")
    assert models.is_outdated()
    models.load()
    assert models.styles == ("anime", "ink")
    assert models.pair("anime") is before
    assert not models.is_outdated()


def test_a_style_may_be_enlarged_otherwise_from_now_on(own: tuple[Path, ModelCache]) -> None:
    """Only the way changes: the generators stay, and with them running slots and caches."""
    folder, models = own
    models.load()
    before = models.pair("anime")
    manifest = (folder / "manifest.toml").read_text()
    (folder / "manifest.toml").write_text(manifest + '\nupscaler = "lanczos"\n')
    assert models.is_outdated()
    models.load()
    after = models.pair("anime")
    assert (before.upscaler, after.upscaler) == ("realesr-animevideov3", "lanczos")
    assert after.g_ori is before.g_ori
    assert after.g_fin is before.g_fin


def test_a_style_that_cannot_be_enlarged_is_left_out(own: tuple[Path, ModelCache], installed: Installed) -> None:
    """Its upscaler's weights are damaged; it is noticed before a job draws, and the others are served."""
    folder, models = own
    installed(folder, "anime", "ink")
    (folder / LARGE_FILE).write_bytes(b"damaged")
    manifest = (folder / "manifest.toml").read_text()
    (folder / "manifest.toml").write_text(manifest + '\nupscaler = "realesrgan-x4plus-anime"\n')
    models.load()
    assert models.styles == ("anime",)


def test_a_damaged_style_is_left_out(own: tuple[Path, ModelCache], installed: Installed) -> None:
    """The others are served."""
    folder, models = own
    installed(folder, "anime", "ink")
    (folder / "ink.safetensors").write_bytes(b"damaged")
    models.load()
    assert models.styles == ("anime",)


def test_nothing_at_all_is_an_error_and_changes_nothing(own: tuple[Path, ModelCache]) -> None:
    """A worker without a style is of no use; one that had some keeps them."""
    folder, models = own
    models.load()
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError):
        models.load()
    assert models.styles == ("anime",)


def test_an_encoder_arrives_and_its_styles_are_served_with_it(own: tuple[Path, ModelCache]) -> None:
    """A new encoder is a new g_ori to the slots; the same again changes nothing; another generator's is not served."""
    folder, models = own
    models.load()
    before = models.pair("anime")
    write_encoder(folder, before.g_ori.digest)
    assert models.is_outdated()
    models.load()
    with_encoder = models.pair("anime")
    assert with_encoder.g_ori is not before.g_ori
    assert with_encoder.g_ori.encoder is not None
    models.load()
    assert models.pair("anime") is with_encoder
    write_encoder(folder, "0" * 64)
    with pytest.raises(CheckpointError):
        models.load()
    assert models.pair("anime") is with_encoder


def write_encoder(folder: Path, generator_sha256: str) -> None:
    """Put an encoder beside the generator, and into the manifest."""
    loaded = load_generator(folder / "tiny.safetensors")
    encoder = Encoder(encoder_architecture(loaded.card.architecture), loaded.statistics)
    card = EncoderCard(
        name="guess",
        architecture=encoder.architecture,
        generator_sha256=generator_sha256,
        alignment=loaded.card.alignment,
    )
    save_encoder(EncoderCheckpoint(card, encoder.state_dict()), folder / "guess.safetensors")
    manifest = (folder / "manifest.toml").read_text().replace('encoder = "guess.safetensors"\n', "")
    row = 'file = "tiny.safetensors"\n'
    (folder / "manifest.toml").write_text(manifest.replace(row, row + 'encoder = "guess.safetensors"\n'))


@needs_bf16
def test_fine_blocks_may_compute_in_sixteen_bits(settings: Settings) -> None:
    """Only from 32 pixels on, and the pictures stay close."""
    pictures = {}
    for precision in ("float32", "bfloat16"):
        models = ModelCache(settings.model_copy(update={"precision": precision}), "cpu")
        models.load()
        generator = models.pair("anime").g_ori.generator
        pictures[precision] = generator.draw_image(generator.mapping.w_avg[None])
    difference = (pictures["float32"] - pictures["bfloat16"]).abs().max()
    assert 0 < difference < 0.1
    assert pictures["bfloat16"].dtype == torch.float32
