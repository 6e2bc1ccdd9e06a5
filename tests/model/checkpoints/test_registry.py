"""Files are what they were, and pairs belong together."""

from pathlib import Path

import pytest
import torch

from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch, ParentMismatch, UsageError
from nigaoe_core.manifest import GeneratorRow, Manifest, StyleRow, edit_manifest
from nigaoe_core.registry import Registry
from nigaoe_faces.align import FFHQ
from nigaoe_model.checkpoints.registry import attach_encoder, file_sha256, verify_entry
from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, load_checkpoint, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents

TINY = Architecture(resolution=16, channels={4: 4, 8: 4, 16: 4}, z_dim=8, w_dim=8, mapping_layers=2)


def _checkpoint(name: str, *, seed: int, parent: str | None = None, architecture: Architecture = TINY) -> Checkpoint:
    torch.manual_seed(seed)
    domain, depth = ("anime", 3) if parent else ("human", None)
    card = CheckpointCard(
        name=name,
        architecture=architecture,
        alignment=FFHQ,
        domain=domain,
        parent_sha256=parent,
        trainable_blocks=depth,
    )
    return Checkpoint(card=card, generator=Generator(architecture).state_dict())


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A registry of one generator and one style of which every block learned."""
    base = _checkpoint("base", seed=1)
    save_checkpoint(base, tmp_path / "base.safetensors")
    save_checkpoint(_checkpoint("style", seed=2, parent=base.digest), tmp_path / "style.safetensors")
    manifest = Manifest(
        generators={"base": GeneratorRow(file="base.safetensors", sha256=file_sha256(tmp_path / "base.safetensors"))},
        styles={"style": StyleRow(file="style.safetensors", parent="base")},
    )
    edit_manifest(tmp_path, lambda _: manifest)
    return tmp_path


def test_everything_that_is_bundled_is_sound() -> None:
    """The demo's files and its pair pass their own check."""
    registry = Registry.load()
    for entry in (*registry.generators(), *registry.styles()):
        verify_entry(registry, entry)


def test_what_was_registered_is_sound(user: Path) -> None:
    """Generator and style pass while nobody touches them."""
    registry = Registry.load(user=user)
    verify_entry(registry, registry.generator("base"))
    verify_entry(registry, registry.style("style"))


def test_a_style_whose_upscaler_has_no_weights_is_found(user: Path) -> None:
    """Nobody learns it from the first portrait."""
    row = StyleRow(file="style.safetensors", parent="base", upscaler="realesrgan-x4plus-anime")
    (user / "realesrgan-x4plus-anime.safetensors").write_bytes(b"half a download")
    edit_manifest(user, lambda manifest: manifest.model_copy(update={"styles": {"style": row}}))
    registry = Registry.load(user=user)
    with pytest.raises(BrokenCheckpoint, match="choose another upscaler"):
        verify_entry(registry, registry.style("style"))


def test_a_changed_file_is_found(user: Path) -> None:
    """The digest in the manifest is of the file: one more byte is enough."""
    registry = Registry.load(user=user)
    with (user / "base.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BrokenCheckpoint, match="changed"):
        verify_entry(registry, registry.generator("base"))


def test_a_missing_file_is_found(user: Path) -> None:
    """The message names what was deleted by hand."""
    (user / "base.safetensors").unlink()
    registry = Registry.load(user=user)
    with pytest.raises(BrokenCheckpoint, match=r"base\.safetensors"):
        verify_entry(registry, registry.generator("base"))


def test_a_style_is_checked_with_its_generator(user: Path) -> None:
    """A generator that was trained on in the meantime is another generator."""
    save_checkpoint(_checkpoint("base", seed=3), user / "base.safetensors")
    registry = Registry.load(user=user)
    with pytest.raises(ParentMismatch):
        verify_entry(registry, registry.style("style"))


def test_a_style_that_cannot_be_drawn_is_found(user: Path) -> None:
    """A card that promises frozen blocks is held to its word."""
    base = _checkpoint("base", seed=1)
    style = _checkpoint("style", seed=2, parent=base.digest)
    card = style.card.model_copy(update={"trainable_blocks": 1})
    save_checkpoint(Checkpoint(card=card, generator=style.generator), user / "style.safetensors")
    registry = Registry.load(user=user)
    with pytest.raises(CheckpointMismatch, match="frozen"):
        verify_entry(registry, registry.style("style"))


def encoder_of(generator: Path, path: Path, *, digest: str | None = None) -> None:
    """Write an encoder for a generator, or one that says it is for another."""
    torch.manual_seed(3)
    encoder = Encoder(encoder_architecture(TINY), measure_latents(Generator(TINY), samples=50))
    card = EncoderCard(
        name="e",
        architecture=encoder.architecture,
        generator_sha256=digest or load_checkpoint(generator).digest,
        alignment=FFHQ,
    )
    save_encoder(EncoderCheckpoint(card, encoder.state_dict()), path, dtype=torch.float16)


def _with_encoder(folder: Path, digest: str | None = None) -> None:
    """Register an encoder beside the generator, by hand."""
    path = folder / "encoder.safetensors"
    encoder_of(folder / "base.safetensors", path, digest=digest)
    row = GeneratorRow(file="base.safetensors", encoder=path.name, encoder_sha256=file_sha256(path))
    edit_manifest(folder, lambda manifest: manifest.model_copy(update={"generators": {"base": row}}))


def test_a_generators_encoder_is_checked_with_it(user: Path) -> None:
    """Sound, of another generator, changed on the disk, gone: told apart."""
    _with_encoder(user)
    verify_entry(Registry.load(user=user), Registry.load(user=user).generator("base"))
    with (user / "encoder.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BrokenCheckpoint, match="changed"):
        verify_entry(Registry.load(user=user), Registry.load(user=user).generator("base"))
    (user / "encoder.safetensors").unlink()
    with pytest.raises(BrokenCheckpoint, match="encoder"):
        verify_entry(Registry.load(user=user), Registry.load(user=user).generator("base"))
    _with_encoder(user, "0" * 64)
    with pytest.raises(ParentMismatch, match="encoder"):
        verify_entry(Registry.load(user=user), Registry.load(user=user).generator("base"))


def test_an_encoder_is_attached_to_an_imported_generator(user: Path, tmp_path: Path) -> None:
    """It is copied, registered with its digest and loaded from then on; other generators' and bundled ones' are not."""
    encoder_of(user / "base.safetensors", tmp_path / "made.safetensors")
    copy = attach_encoder(Registry.load(user=user), "base", tmp_path / "made.safetensors", user)
    registry = Registry.load(user=user)
    entry = registry.generator("base")
    assert (entry.encoder, entry.encoder_sha256) == (copy, file_sha256(copy))
    assert entry.sha256 is not None
    verify_entry(registry, entry)
    encoder_of(user / "style.safetensors", tmp_path / "made.safetensors")
    with pytest.raises(ParentMismatch):
        attach_encoder(registry, "base", tmp_path / "made.safetensors", user)
    with pytest.raises(UsageError, match="came with"):
        attach_encoder(registry, "g_ori", copy, user)
    with pytest.raises(CheckpointMismatch, match="no encoder"):
        attach_encoder(registry, "base", user / "style.safetensors", user)
    assert file_sha256(copy) == entry.encoder_sha256
