"""Two generators of one latent space: which style belongs to which parent."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nigaoe_core.errors import CheckpointMismatch, ParentMismatch
from nigaoe_core.registry import Registry
from nigaoe_model.portrait.pair import LoadedGenerator, load_generator, load_pair
from nigaoe_model.stylegan2.checkpoint import Checkpoint, save_checkpoint

ChildOf = Callable[..., Checkpoint]


def test_a_child_of_another_parent_is_refused(
    tmp_path: Path, tiny_checkpoint: Checkpoint, tiny_g_ori: LoadedGenerator, child_of: ChildOf
) -> None:
    """The parent's digest decides, not the file's name."""
    child = child_of(tiny_checkpoint, trainable_blocks=2)
    other = Checkpoint(child.card.model_copy(update={"parent_sha256": "0" * 64}), child.generator)
    save_checkpoint(other, tmp_path / "other.safetensors")
    with pytest.raises(ParentMismatch, match="install the pair"):
        load_pair("other", tiny_g_ori, tmp_path / "other.safetensors")


def test_a_base_generator_is_no_style(tiny_files: tuple[Path, Path], tiny_g_ori: LoadedGenerator) -> None:
    """Using g_ori as its own style is refused."""
    with pytest.raises(ParentMismatch):
        load_pair("self", tiny_g_ori, tiny_files[0])


def test_thawed_layers_are_found_out(
    tmp_path: Path, tiny_checkpoint: Checkpoint, tiny_g_ori: LoadedGenerator, child_of: ChildOf
) -> None:
    """A card that claims a frozen block whose numbers moved does not load."""
    child = child_of(tiny_checkpoint, trainable_blocks=3)
    liar = Checkpoint(child.card.model_copy(update={"trainable_blocks": 1}), child.generator)
    save_checkpoint(liar, tmp_path / "liar.safetensors")
    with pytest.raises(CheckpointMismatch, match="should be frozen"):
        load_pair("liar", tiny_g_ori, tmp_path / "liar.safetensors")


def test_the_bundled_styles_fit_their_generator(weights: Path) -> None:
    """What ships can be loaded as pairs."""
    registry = Registry.load(weights)
    assert registry.styles()
    for style in registry.styles():
        g_ori, g_fin = registry.pair(style.name)
        pair = load_pair(style.name, load_generator(g_ori), g_fin)
        assert pair.trunk_resolution is not None


def test_an_encoder_comes_with_its_generator(tiny_files: tuple[Path, Path], encoder_file: Path) -> None:
    """It is loaded with the pair and named in its models; beside another generator it is refused."""
    g_ori, g_fin = tiny_files
    loaded = load_generator(g_ori, encoder=encoder_file)
    assert loaded.encoder is not None
    assert loaded.encoder.card.name == "tiny-encoder"
    assert load_pair("toy", loaded, g_fin).model_ids["encoder"].startswith("tiny-encoder@")
    with pytest.raises(ParentMismatch, match="train encoder"):
        load_generator(g_fin, encoder=encoder_file)
