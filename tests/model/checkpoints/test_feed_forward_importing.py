"""Files of feed-forward methods, ours and published ones, become styles that draw in one pass."""

import shutil
from pathlib import Path

import pytest
import torch
from feed_forward_files import gans_n_roses, swapping_autoencoder, write_feed_forward_styles

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch, MethodMismatch, UsageError
from nigaoe_core.registry import Registry
from nigaoe_faces.align import DEMO, FFHQ
from nigaoe_model.checkpoints.conversion import Description
from nigaoe_model.checkpoints.importing import Imported, ImportRequest, import_weights
from nigaoe_model.checkpoints.registry import verify_entry
from nigaoe_model.compared.gans_n_roses_checkpoint import published_document, save_gans_n_roses
from nigaoe_model.compared.swapping_autoencoder_checkpoint import foreign_document, save_swapping_autoencoder
from nigaoe_model.portrait.feed_forward import load_feed_forward
from nigaoe_model.stylegan2.checkpoint import load_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The user registry; it does not exist before the first import."""
    return tmp_path / "registry"


def bring(request: ImportRequest, folder: Path) -> Imported:
    return import_weights(request, Registry.load(user=folder), folder)


def write_published(folder: Path, method: str) -> Path:
    """A tiny network as the published program of a method stores it."""
    path = folder / "published.pt"
    is_roses = method == "gans-n-roses"
    document = published_document(gans_n_roses()) if is_roses else foreign_document(swapping_autoencoder())
    torch.save(document, path)
    return path


@pytest.mark.parametrize(
    ("method", "resolution", "options"),
    [("gans-n-roses", None, ("seed", "reference")), ("swapping-autoencoder", 32, ("reference",))],
)
def test_a_published_file_becomes_a_style(
    tmp_path: Path, folder: Path, method: str, resolution: int | None, options: tuple[str, ...]
) -> None:
    """Registered with its method, with pictures of persons and what it makes of them, and sound."""
    request = ImportRequest(
        write_published(tmp_path, method), Description("mine", licence="MIT"), title="Mine", resolution=resolution
    )
    imported = bring(request, folder)
    registry = Registry.load(user=folder)
    style = registry.style("mine")
    assert (style.method, style.parent, style.title, style.licence) == (method, None, "Mine", "MIT")
    assert (style.is_usable, style.options, imported.resolution) == (True, options, 32)
    verify_entry(registry, style)
    assert load_feed_forward(style).alignment == FFHQ
    samples = {path.name for path in (folder / "samples" / "mine").iterdir()}
    assert samples == {f"{n}{kind}.webp" for n in range(1, 5) for kind in ("", ".before")}
    assert imported.sheet.is_file()
    says_so = any("needs a reference" in warning for warning in imported.warnings)
    assert says_so == (method == "swapping-autoencoder") == style.needs_reference


@pytest.mark.parametrize("name", ["roses", "swap"])
def test_a_file_of_ours_keeps_its_numbers_and_its_framing(tmp_path: Path, folder: Path, name: str) -> None:
    """Style reader and mean texture included; what the user says is corrected in the card."""
    path = write_feed_forward_styles(tmp_path / "made") / f"{name}.safetensors"
    imported = bring(ImportRequest(path, Description("mine", licence="MIT")), folder)
    style = Registry.load(user=folder).style("mine")
    loaded = load_feed_forward(style)
    before = load_feed_forward(Registry.load(path.parent).style(name))
    assert (loaded.alignment, style.needs_reference) == (DEMO, False)
    assert loaded.model_id.partition("@")[2] == before.model_id.partition("@")[2]
    assert (imported.card.name, imported.card.licence) == ("mine", "MIT")
    assert imported.reading.family == "native"


def test_the_discriminators_of_a_published_file_are_left_out(repository: Path, folder: Path) -> None:
    """Nothing draws with them."""
    bring(ImportRequest(repository / "tests/data/golden/gnr-64.pt", Description("golden")), folder)
    style = Registry.load(user=folder).style("golden")
    assert style.options == ("seed",)
    assert load_feed_forward(style).resolution == 64


def test_a_checkpoint_of_another_method_is_neither_parent_nor_child(
    tmp_path: Path, folder: Path, repository: Path
) -> None:
    """A feed-forward file with a parent, a StyleGAN2 whose parent is a feed-forward style, and a renamed file."""
    roses = write_published(tmp_path, "gans-n-roses")
    with pytest.raises(MethodMismatch, match="without --parent"):
        bring(ImportRequest(roses, Description("mine"), parent="g_ori"), folder)
    bring(ImportRequest(roses, Description("roses")), folder)
    stylegan2 = repository / "tests/data/golden/rosinality-64.pt"
    with pytest.raises(MethodMismatch, match="no latent space"):
        bring(ImportRequest(stylegan2, Description("mine"), parent="roses"), folder)
    shutil.copy(BUNDLED_WEIGHTS / "anime.safetensors", folder / "roses.safetensors")
    registry = Registry.load(user=folder)
    with pytest.raises(BrokenCheckpoint, match="has changed"):
        verify_entry(registry, registry.style("roses"))
    with pytest.raises(MethodMismatch):
        load_checkpoint(write_feed_forward_styles(tmp_path / "made") / "swap.safetensors")


@pytest.mark.parametrize(
    ("method", "said", "error", "hint"),
    [
        ("swapping-autoencoder", {"resolution": 30}, CheckpointMismatch, "cannot be halved"),
        ("gans-n-roses", {"resolution": 32}, UsageError, "by itself"),
        ("gans-n-roses", {"description": Description("mine", domain="human")}, UsageError, "--domain"),
    ],
)
def test_what_does_not_go_with_the_method_is_refused(
    tmp_path: Path, folder: Path, method: str, said: dict[str, object], error: type[Exception], hint: str
) -> None:
    """And nothing is registered."""
    request = {"path": write_published(tmp_path, method), "description": Description("mine")} | said
    with pytest.raises(error, match=hint):
        bring(ImportRequest(**request), folder)  # type: ignore[arg-type] # names and kinds are right above
    assert not folder.exists()


def test_a_network_that_draws_no_numbers_is_refused(tmp_path: Path, folder: Path) -> None:
    """The self-test draws with it."""
    path = tmp_path / "broken.safetensors"
    roses = gans_n_roses()
    roses.networks["photo_to_anime"]["decoder.torgb.bias"].fill_(float("nan"))
    save_gans_n_roses(roses, path)
    with pytest.raises(BrokenCheckpoint, match="infinite or undefined"):
        bring(ImportRequest(path, Description("mine")), folder)
    save_swapping_autoencoder(swapping_autoencoder(), path)
    bring(ImportRequest(path, Description("mine")), folder)
    with pytest.raises(UsageError, match="taken"):
        bring(ImportRequest(path, Description("mine")), folder)
