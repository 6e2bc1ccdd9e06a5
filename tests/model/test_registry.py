"""Pairs belong together, and files are what they were."""

import shutil
from pathlib import Path

import pytest
import torch

from core.bundled import BUNDLED_WEIGHTS
from core.errors import BrokenCheckpoint, CheckpointMismatch, ParentMismatch
from core.manifest import GeneratorRow, Manifest, StyleRow
from core.manifest_editor import edit_manifest
from core.registry import Registry
from faces.align import FFHQ
from model.architecture import Architecture
from model.checkpoint import Checkpoint, CheckpointCard, save_checkpoint
from model.generator import Generator
from model.registry import check_parent, file_sha256, load_pair, verify_entry

TINY = Architecture(resolution=16, channels={4: 4, 8: 4, 16: 4}, z_dim=8, w_dim=8, mapping_layers=2)


def _checkpoint(name: str, *, seed: int, parent: str | None = None, architecture: Architecture = TINY) -> Checkpoint:
    torch.manual_seed(seed)
    card = CheckpointCard(
        name=name,
        architecture=architecture,
        alignment=FFHQ,
        domain="anime" if parent else "human",
        parent_sha256=parent,
    )
    return Checkpoint(card=card, generator=Generator(architecture).state_dict())


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A registry of one generator and one style that names it as its parent."""
    base = _checkpoint("base", seed=1)
    save_checkpoint(base, tmp_path / "base.safetensors")
    save_checkpoint(_checkpoint("style", seed=2, parent=base.digest), tmp_path / "style.safetensors")
    manifest = Manifest(
        generators={"base": GeneratorRow(file="base.safetensors", sha256=file_sha256(tmp_path / "base.safetensors"))},
        styles={"style": StyleRow(file="style.safetensors", parent="base")},
    )
    edit_manifest(tmp_path, lambda _: manifest)
    return tmp_path


def test_the_bundled_pair_belongs_together() -> None:
    """The demo's style names the demo's generator, by its tensors."""
    parent, style = load_pair(Registry.load(), "anime")
    assert style.card.parent_sha256 == parent.digest


def test_a_pair_is_loaded_by_its_style(user: Path) -> None:
    """Both checkpoints come back, the generator first."""
    parent, style = load_pair(Registry.load(user=user), "style")
    assert (parent.card.name, style.card.name) == ("base", "style")


def test_a_style_of_another_generator_is_refused(user: Path) -> None:
    """A generator that was trained on in the meantime is another generator."""
    save_checkpoint(_checkpoint("base", seed=3), user / "base.safetensors")
    with pytest.raises(ParentMismatch, match="was not fine-tuned from `base`"):
        load_pair(Registry.load(user=user), "style")


def test_two_architectures_are_no_pair() -> None:
    """Other widths mean another latent space, whatever the card says."""
    base = _checkpoint("base", seed=1)
    wide = TINY.model_copy(update={"channels": {4: 8, 8: 8, 16: 8}})
    with pytest.raises(CheckpointMismatch, match="architecture"):
        check_parent(_checkpoint("style", seed=2, parent=base.digest, architecture=wide), base)


def test_verify_finds_a_changed_file(user: Path) -> None:
    """The digest in the manifest is of the file: one more byte is enough."""
    registry = Registry.load(user=user)
    verify_entry(registry, registry.generator("base"))
    with (user / "base.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BrokenCheckpoint, match="changed"):
        verify_entry(registry, registry.generator("base"))


def test_verify_finds_a_missing_file(user: Path) -> None:
    """What was deleted by hand is told by name."""
    (user / "base.safetensors").unlink()
    registry = Registry.load(user=user)
    with pytest.raises(BrokenCheckpoint, match=r"base\.safetensors"):
        verify_entry(registry, registry.generator("base"))


def test_verify_checks_a_style_against_its_parent(user: Path) -> None:
    """A style is only right together with the generator that it came from."""
    shutil.copy(BUNDLED_WEIGHTS / "g_ori.safetensors", user / "base.safetensors")
    registry = Registry.load(user=user)
    with pytest.raises(CheckpointMismatch):
        verify_entry(registry, registry.style("style"))
