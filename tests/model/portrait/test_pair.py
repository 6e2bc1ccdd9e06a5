"""Two generators of one latent space: who fits whom, and what is drawn only once."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nigaoe_core.errors import CheckpointMismatch, ParentMismatch
from nigaoe_core.registry import Registry
from nigaoe_model.portrait.pair import LoadedGenerator, Pair, draw_styles, load_generator, load_pair
from nigaoe_model.stylegan2.checkpoint import Checkpoint, save_checkpoint

ChildOf = Callable[..., Checkpoint]


def random_ws(pair: Pair, count: int = 3) -> torch.Tensor:
    generator = pair.g_ori.generator
    z = torch.randn(count, generator.architecture.z_dim, generator=torch.Generator().manual_seed(1))
    return generator.mapping.broadcast(generator.mapping(z))


def test_the_shared_trunk_changes_no_picture(tiny_pair: Pair) -> None:
    """Drawing the coarse blocks once gives exactly what both generators draw alone."""
    ws = random_ws(tiny_pair)
    person, (drawing,) = draw_styles([tiny_pair], ws)
    assert torch.equal(person, tiny_pair.g_ori.generator.draw_image(ws))
    assert torch.equal(drawing, tiny_pair.g_fin.generator.draw_image(ws))
    assert not torch.allclose(person, drawing)


def test_styles_of_different_depth_share_what_they_can(
    tmp_path: Path, tiny_checkpoint: Checkpoint, tiny_g_ori: LoadedGenerator, tiny_pair: Pair, child_of: ChildOf
) -> None:
    """Each style starts from the canvas at which its own training began."""
    pairs = [tiny_pair]
    for depth in (0, 1, 3):
        path = tmp_path / f"{depth}.safetensors"
        save_checkpoint(child_of(tiny_checkpoint, trainable_blocks=depth), path)
        pairs.append(load_pair(f"depth-{depth}", tiny_g_ori, path))
    assert [pair.trunk_resolution for pair in pairs] == [4, 16, 8, None]
    ws = random_ws(tiny_pair)
    for pair, drawing in zip(pairs, draw_styles(pairs, ws)[1], strict=True):
        assert torch.equal(drawing, pair.g_fin.generator.draw_image(ws)), pair.style


def test_a_child_of_another_parent_is_refused(
    tmp_path: Path, tiny_checkpoint: Checkpoint, tiny_g_ori: LoadedGenerator, child_of: ChildOf
) -> None:
    """The parent's digest decides, not the file's name."""
    child = child_of(tiny_checkpoint, trainable_blocks=2)
    stranger = Checkpoint(child.card.model_copy(update={"parent_sha256": "0" * 64}), child.generator)
    save_checkpoint(stranger, tmp_path / "stranger.safetensors")
    with pytest.raises(ParentMismatch, match="install the pair"):
        load_pair("stranger", tiny_g_ori, tmp_path / "stranger.safetensors")


def test_a_base_generator_is_no_style(tiny_files: tuple[Path, Path], tiny_g_ori: LoadedGenerator) -> None:
    """Using g_ori as its own style is a mistake that gets told."""
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
