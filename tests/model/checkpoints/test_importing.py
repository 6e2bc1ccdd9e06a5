"""The whole way of a file into the registry, and what the generator that comes out of it draws."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.errors import (
    BrokenCheckpoint,
    CheckpointMismatch,
    ForeignCheckpoint,
    ParentMismatch,
    StorageError,
    UnknownGenerator,
    UsageError,
)
from nigaoe_core.manifest import UpscalerName
from nigaoe_core.registry import Registry
from nigaoe_faces.align import DEMO, FFHQ
from nigaoe_faces.encoding import encode_png
from nigaoe_model.checkpoints.conversion import Description
from nigaoe_model.checkpoints.exporting import export_weights
from nigaoe_model.checkpoints.importing import Imported, ImportRequest, import_weights
from nigaoe_model.checkpoints.registry import verify_entry
from nigaoe_model.stylegan2.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nigaoe_model.stylegan2.generator import mix_styles

Build = Callable[..., Path]
Bring = Callable[..., Imported]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The user registry; it does not exist before the first import."""
    return tmp_path / "registry"


@pytest.fixture
def bring(folder: Path) -> Bring:
    """A function that imports a file under a name."""

    def import_one(
        path: Path,
        name: str,
        *,
        parent: str | None = None,
        overwrite: bool = False,
        upscaler: UpscalerName | None = None,
        **said: Any,
    ) -> Imported:
        request = ImportRequest(path, Description(name, **said), parent=parent, overwrite=overwrite, upscaler=upscaler)
        return import_weights(request, Registry.load(user=folder), folder)

    return import_one


def _error(found: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the range of what is expected."""
    return float((found - expected).abs().max() / (expected.max() - expected.min()))


@torch.no_grad()
def test_the_golden_rosinality_file_draws_what_it_drew(golden: Path, bring: Bring) -> None:
    """Every golden output within 1e-4 of its range: styles, pictures, truncation, mixing, logits."""
    imported = bring(golden / "rosinality-64.pt", "golden")
    expected = load_file(golden / "rosinality-64-expected.safetensors")
    generator = load_checkpoint(imported.path).build_generator()
    w = generator.mapping(expected["z"])
    assert _error(w, expected["w"]) < 1e-4
    assert _error(generator.draw_image(expected["w"]), expected["image_from_w"]) < 1e-4
    assert _error(generator.draw_image(expected["w_plus"]), expected["image_from_w_plus"]) < 1e-4
    ws = generator.mapping.broadcast(w)
    mixed = generator.draw_image(mix_styles(ws[:2], ws[2:], 4))
    assert _error(mixed, expected["image_style_mixing_crossover_4"]) < 1e-4
    # The file has no mean style: the recomputed one is another sample's, so the golden one is set for this picture.
    assert _error(generator.mapping.w_avg, expected["latent_avg"].reshape(-1)) < 0.02
    generator.mapping.w_avg.copy_(expected["latent_avg"].reshape(-1))
    truncated = generator(expected["z"], truncation_psi=0.5, noise="fixed")
    assert _error(truncated, expected["image_truncated_psi_0_5"]) < 1e-4
    assert imported.discriminator is not None
    discriminator = load_checkpoint(imported.discriminator).build_discriminator()
    assert _error(discriminator(expected["d_input"]), expected["d_logits"]) < 1e-4


@torch.no_grad()
def test_the_golden_nvidia_file_draws_what_it_drew(golden: Path, bring: Bring) -> None:
    """Two mapping layers, clamped activations, its own mean style; its source is never executed."""
    imported = bring(golden / "nvidia-ada-64.pkl", "golden")
    expected = load_file(golden / "nvidia-ada-64-expected.safetensors")
    generator = load_checkpoint(imported.path).build_generator()
    ws = generator.mapping.broadcast(generator.mapping(expected["z"]))
    assert _error(ws, expected["ws"]) < 1e-4
    assert _error(generator.mapping.truncate(ws, 0.5), expected["ws_psi_0_5"]) < 1e-4
    assert _error(generator.draw_image(expected["ws"], "fixed"), expected["image_const_noise"]) < 1e-4
    assert _error(generator.draw_image(expected["ws"], "none"), expected["image_no_noise"]) < 1e-4
    assert imported.discriminator is not None
    discriminator = load_checkpoint(imported.discriminator).build_discriminator()
    assert _error(discriminator(expected["d_input"]), expected["d_logits"]) < 1e-4


def _same_tensors(path: Path, checkpoint: Checkpoint) -> bool:
    found = load_checkpoint(path).generator
    return all(torch.equal(found[name], tensor) for name, tensor in checkpoint.generator.items() if "w_avg" not in name)


@pytest.mark.parametrize("legacy", [False, True])
def test_rosinality_files_keep_every_bit(
    rosinality_file: Build, bring: Bring, tiny_checkpoint: Checkpoint, legacy: bool
) -> None:
    """The moving average is taken, not `g`, from either format of torch."""
    assert _same_tensors(bring(rosinality_file(legacy=legacy), "copy").path, tiny_checkpoint)


def test_nvidia_files_keep_every_bit(nvidia_file: Build, bring: Bring, tiny_checkpoint: Checkpoint) -> None:
    """Mean style included: it lies inside NVIDIA's generator."""
    assert load_checkpoint(bring(nvidia_file(), "copy").path).digest == tiny_checkpoint.digest


def test_tensorflow_files_draw_the_same(tensorflow_file: Build, bring: Bring, tiny_checkpoint: Checkpoint) -> None:
    """Transposed, mirrored and shifted back: the moving average's numbers, biases up to rounding."""
    found = load_checkpoint(bring(tensorflow_file(), "copy").path).generator
    for name, tensor in tiny_checkpoint.generator.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


def test_the_mean_style_of_an_encoder_is_one_row_of_many(rosinality_file: Build, bring: Bring) -> None:
    """e4e stores the mean once a layer."""
    mean = torch.arange(8.0)
    path = rosinality_file(latent_avg=mean.expand(6, 8).clone())
    assert torch.equal(load_checkpoint(bring(path, "copy").path).generator["mapping.w_avg"], mean)


def test_a_missing_mean_style_is_measured(rosinality_file: Build, bring: Bring) -> None:
    """rosinality's trainer stores none; truncation needs it."""
    checkpoint = load_checkpoint(bring(rosinality_file(), "copy").path)
    assert checkpoint.statistics is not None
    torch.testing.assert_close(
        checkpoint.generator["mapping.w_avg"], checkpoint.statistics.mean[0], atol=0.05, rtol=0.05
    )


def test_very_old_files_get_noise_maps(rosinality_file: Build, bring: Bring, tmp_path: Path) -> None:
    """They are drawn once and stored, so that pictures stay the same."""
    document = torch.load(rosinality_file(args=None, g_optim=None), weights_only=True)
    document["g_ema"] = {name: t for name, t in document["g_ema"].items() if not name.startswith("noises.")}
    torch.save(document, tmp_path / "old.pt")
    imported = bring(tmp_path / "old.pt", "old")
    assert any("noise" in note for note in imported.reading.notes)
    other = bring(tmp_path / "old.pt", "old-again")
    assert load_checkpoint(imported.path).digest == load_checkpoint(other.path).digest


def test_what_was_imported_is_registered_and_sound(rosinality_file: Build, bring: Bring, folder: Path) -> None:
    """Digest, licence, source, domain and framing are where the registry, the worker and the page look for them."""
    bring(rosinality_file(), "mine", licence="CC-BY-4.0", source="https://example.org", domain="other", alignment=DEMO)
    registry = Registry.load(user=folder)
    entry = registry.generator("mine")
    verify_entry(registry, entry)
    assert (entry.licence, entry.source, entry.domain) == ("CC-BY-4.0", "https://example.org", "other")
    assert entry.sha256 is not None
    assert load_checkpoint(entry.path).card.alignment == DEMO
    assert (folder / "mine-samples.png").read_bytes().startswith(b"\x89PNG")


def test_a_freezeg_pair_becomes_a_style(
    bring: Bring, folder: Path, rosinality_file: Build, tiny_checkpoint: Checkpoint, child_of: Callable[..., Checkpoint]
) -> None:
    """The frozen tensors tell the freeze depth; the pair converts photos and its samples are shown by the API."""
    bring(rosinality_file(), "people", alignment=DEMO)
    child = child_of(tiny_checkpoint, trainable_blocks=1)
    file = rosinality_file(name="child.pt", generator=dict(child.generator))
    style = bring(file, "drawings", parent="people", upscaler="lanczos")
    assert style.is_style
    assert style.parentage is not None
    assert (style.parentage.trainable_blocks, style.parentage.is_frozen) == (1, True)
    assert (style.card.domain, style.card.alignment) == ("anime", DEMO)
    assert load_checkpoint(style.path).palette is not None
    registry = Registry.load(user=folder)
    assert registry.style("drawings").upscaler == "lanczos"
    verify_entry(registry, registry.style("drawings"))
    samples = {path.name for path in (folder / "samples" / "drawings").iterdir()}
    assert samples == {f"{number}{part}.webp" for number in range(1, 5) for part in ("", ".before")}


def test_a_pair_that_was_fine_tuned_everywhere_comes_with_a_warning(
    bring: Bring, folder: Path, rosinality_file: Build, tiny_checkpoint: Checkpoint
) -> None:
    """It can be used, and a warning says how far it drifted."""
    bring(rosinality_file(), "people")
    random = torch.Generator().manual_seed(5)
    drifted = {n: t + 0.2 * torch.randn(t.shape, generator=random) for n, t in tiny_checkpoint.generator.items()}
    style = bring(rosinality_file(name="child.pt", generator=drifted), "drawings", parent="people")
    assert style.parentage is not None
    assert not style.parentage.is_frozen
    assert style.parentage.latent_drift > 0
    assert any("%" in warning and "likeness" in warning for warning in style.warnings)
    registry = Registry.load(user=folder)
    verify_entry(registry, registry.style("drawings"))


def test_unrelated_ones_are_no_pair(
    bring: Bring, folder: Path, rosinality_file: Build, tiny_checkpoint: Checkpoint
) -> None:
    """Another training run of the same architecture shares no latent space."""
    bring(rosinality_file(), "people")
    random = torch.Generator().manual_seed(6)
    unrelated = {name: torch.randn(t.shape, generator=random) for name, t in tiny_checkpoint.generator.items()}
    with pytest.raises(ParentMismatch, match="nothing in common"):
        bring(rosinality_file(name="unrelated.pt", generator=unrelated), "drawings", parent="people")
    assert all(style.bundled for style in Registry.load(user=folder).styles())


def test_another_architecture_is_no_child(bring: Bring, golden: Path) -> None:
    """The bundled generator is no parent of the golden one."""
    with pytest.raises(CheckpointMismatch, match="architecture"):
        bring(golden / "rosinality-64.pt", "drawings", parent="g_ori")


def test_a_fine_tuned_file_without_its_parent_is_a_generator_with_a_hint(golden: Path, bring: Bring) -> None:
    """The file knows that it was fine-tuned; the user learns what is missing."""
    imported = bring(golden / "rosinality-64.pt", "half")
    assert not imported.is_style
    assert any("--parent" in warning for warning in imported.warnings)


def test_our_own_files_pass_through(bring: Bring, folder: Path) -> None:
    """A native style is registered under its parent with the same tensors."""
    style = bring(BUNDLED_WEIGHTS / "anime.safetensors", "copy", parent="g_ori")
    assert load_checkpoint(style.path).digest == load_checkpoint(BUNDLED_WEIGHTS / "anime.safetensors").digest
    registry = Registry.load(user=folder)
    verify_entry(registry, registry.style("copy"))


def test_a_native_style_asks_for_its_parent(bring: Bring) -> None:
    """Alone it is of no use, and its card says so."""
    with pytest.raises(ParentMismatch, match="--parent"):
        bring(BUNDLED_WEIGHTS / "anime.safetensors", "copy")


def test_a_lonely_discriminator_is_no_generator(bring: Bring) -> None:
    """Photos cannot be found in it."""
    with pytest.raises(CheckpointMismatch, match="only a discriminator"):
        bring(BUNDLED_WEIGHTS / "g_ori-discriminator.safetensors", "critic")


def test_names_are_taken_once(bring: Bring, rosinality_file: Build) -> None:
    """Bundled names stay bundled; an imported one is replaced on demand."""
    with pytest.raises(UsageError, match="taken"):
        bring(rosinality_file(), "g_ori", overwrite=True)
    bring(rosinality_file(), "mine")
    with pytest.raises(UsageError, match="--overwrite"):
        bring(rosinality_file(), "mine")
    assert bring(rosinality_file(), "mine", overwrite=True, alignment=FFHQ).card.alignment == FFHQ


def test_a_generator_with_styles_is_not_replaced(bring: Bring, rosinality_file: Build) -> None:
    """Its styles would fit no more."""
    bring(rosinality_file(), "people")
    bring(rosinality_file(), "drawings", parent="people")
    with pytest.raises(UsageError, match="drawings"):
        bring(rosinality_file(), "people", overwrite=True)


def test_an_unknown_parent_is_told_at_once(bring: Bring, rosinality_file: Build) -> None:
    """Before the file is read."""
    with pytest.raises(UnknownGenerator, match="g_ori"):
        bring(rosinality_file(), "drawings", parent="nobody")


def test_numbers_that_are_none_are_found_by_drawing(
    bring: Bring, folder: Path, rosinality_file: Build, tiny_checkpoint: Checkpoint
) -> None:
    """A file whose training exploded is refused by the self-test, and nothing is registered."""
    broken = dict(tiny_checkpoint.generator)
    broken["synthesis.blocks.b8.conv0.conv.weight"] = torch.full_like(
        broken["synthesis.blocks.b8.conv0.conv.weight"], torch.nan
    )
    with pytest.raises(BrokenCheckpoint, match="infinite or undefined"):
        bring(rosinality_file(generator=broken), "nan")
    assert not folder.exists()


def test_a_picture_is_no_weight_file(bring: Bring, tmp_path: Path) -> None:
    """Also when it is called like one."""
    import numpy as np

    (tmp_path / "ffhq.pkl").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(ForeignCheckpoint, match="picture"):
        bring(tmp_path / "ffhq.pkl", "picture")


def test_a_registry_that_cannot_be_written_is_said_to_be_one(tmp_path: Path, rosinality_file: Build) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "registry").write_text("")
    with pytest.raises(StorageError, match="registry"):
        import_weights(ImportRequest(rosinality_file(), Description("x")), Registry.load(), tmp_path / "registry")


@pytest.mark.parametrize("layout", ["rosinality", "nvidia-state"])
def test_what_was_exported_comes_back_the_same(
    bring: Bring, tmp_path: Path, tiny_checkpoint: Checkpoint, layout: str
) -> None:
    """Tensors bit for bit, and the card but for its name; also in half precision."""
    half = replace(tiny_checkpoint, generator={n: t.half() for n, t in tiny_checkpoint.generator.items()})
    for name, checkpoint in (("full", tiny_checkpoint), ("half", half)):
        export_weights(checkpoint, layout, tmp_path / f"{name}.pt")  # type: ignore[arg-type]
        back = load_checkpoint(bring(tmp_path / f"{name}.pt", name).path)
        assert back.digest == checkpoint.digest
        assert back.card.model_copy(update={"name": "tiny"}) == checkpoint.card


def test_a_style_comes_back_to_its_parent(
    bring: Bring, tmp_path: Path, tiny_checkpoint: Checkpoint, child_of: Callable[..., Checkpoint]
) -> None:
    """Exported, imported with its parent: the same tensors, parent and freeze depth."""
    save_checkpoint(tiny_checkpoint, tmp_path / "base.safetensors")
    bring(tmp_path / "base.safetensors", "people")
    child = child_of(tiny_checkpoint, trainable_blocks=2)
    export_weights(child, "rosinality", tmp_path / "child.pt")
    back = load_checkpoint(bring(tmp_path / "child.pt", "drawings", parent="people").path)
    assert back.digest == child.digest
    assert (back.card.parent_sha256, back.card.trainable_blocks) == (tiny_checkpoint.digest, 2)
