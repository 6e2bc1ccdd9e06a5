"""A checkpoint explains itself, round-trips exactly, and says what is wrong with a bad file."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch, ForeignCheckpoint
from nigaoe_faces.align import DEMO
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import (
    METADATA_KEY,
    Checkpoint,
    CheckpointCard,
    load_checkpoint,
    read_card,
    save_checkpoint,
)
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents


def test_saving_and_loading_is_the_identity(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    """Tensors bit for bit, card field for field, statistics too."""
    save_checkpoint(tiny_checkpoint, tmp_path / "a.safetensors")
    again = load_checkpoint(tmp_path / "a.safetensors")
    assert again.card == tiny_checkpoint.card
    assert again.digest == tiny_checkpoint.digest
    assert torch.equal(again.statistics.covariance, tiny_checkpoint.statistics.covariance)
    assert all(torch.equal(again.generator[n], t) for n, t in tiny_checkpoint.generator.items())


@given(widths=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)), layers=st.integers(1, 3))
def test_any_architecture_round_trips(
    tmp_path_factory: pytest.TempPathFactory, widths: tuple[int, int, int], layers: int
) -> None:
    """Generator and discriminator of random shapes come back exactly."""
    architecture = Architecture(
        resolution=16, channels=dict(zip((4, 8, 16), widths, strict=True)), z_dim=3, w_dim=4, mapping_layers=layers
    )
    generator, discriminator = Generator(architecture), Discriminator(architecture)
    card = CheckpointCard(name="any", architecture=architecture, alignment=DEMO, domain="other")
    path = tmp_path_factory.mktemp("any") / "any.safetensors"
    save_checkpoint(Checkpoint(card, generator.state_dict(), discriminator.state_dict()), path)
    again = load_checkpoint(path)
    assert torch.equal(again.build_generator().state_dict()["mapping.w_avg"], generator.mapping.w_avg)
    for name, tensor in again.build_discriminator().state_dict().items():
        assert torch.equal(tensor, discriminator.state_dict()[name]), name


def test_slim_files_halve_and_keep_their_own_identity(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    """fp16 files are about half as large, load as float32 modules, and their digest is that of the stored numbers."""
    save_checkpoint(tiny_checkpoint, tmp_path / "slim.safetensors", dtype=torch.float16)
    slim = load_checkpoint(tmp_path / "slim.safetensors")
    assert slim.generator["synthesis.blocks.b4.const"].dtype == torch.float16
    assert slim.build_generator().synthesis.block(4).const.dtype == torch.float32
    assert slim.statistics.covariance.dtype == torch.float32
    assert slim.digest != tiny_checkpoint.digest


def test_the_digest_ignores_the_card(tiny_checkpoint: Checkpoint) -> None:
    """Correcting a licence orphans no child; moving one number does."""
    relabelled = Checkpoint(tiny_checkpoint.card.model_copy(update={"licence": "MIT"}), tiny_checkpoint.generator)
    assert relabelled.digest == tiny_checkpoint.digest
    moved = dict(tiny_checkpoint.generator)
    moved["mapping.w_avg"] = moved["mapping.w_avg"] + 1e-6
    assert Checkpoint(tiny_checkpoint.card, moved).digest != tiny_checkpoint.digest


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_files_are_called_damaged(tmp_path: Path, tiny_files: tuple[Path, Path], keep: int) -> None:
    """Wherever a download broke off, the error asks to fetch the file again."""
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(tiny_files[0].read_bytes()[:keep])
    with pytest.raises(BrokenCheckpoint, match="fetch or import it again"):
        load_checkpoint(broken)


def test_missing_files_are_named(tmp_path: Path) -> None:
    """A wrong path is a clear sentence as well."""
    with pytest.raises(BrokenCheckpoint, match=r"nowhere\.safetensors"):
        read_card(tmp_path / "nowhere.safetensors")


def test_foreign_and_newer_files_are_told_apart(tmp_path: Path, tiny_files: tuple[Path, Path]) -> None:
    """Another program's safetensors, and a format of the future, are not called damaged."""
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(ForeignCheckpoint, match="weights import"):
        load_checkpoint(foreign)
    with pytest.raises(ForeignCheckpoint, match="upgrade"):
        load_checkpoint(with_card(tiny_files[0], tmp_path, format_version=2))


def test_damaged_cards_are_refused(tmp_path: Path, tiny_files: tuple[Path, Path]) -> None:
    """Metadata are validated, not trusted."""
    with pytest.raises(BrokenCheckpoint, match="metadata"):
        read_card(with_card(tiny_files[0], tmp_path, name="No Spaces Please"))


def test_missing_surplus_and_misshapen_tensors_are_named(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    """Loading is strict in every direction."""
    for change, sentence in (
        ({"mapping.w_avg": None}, "missing"),
        ({"stranger": torch.zeros(1)}, "unknown"),
        ({"mapping.w_avg": torch.zeros(3)}, "shape"),
    ):
        state = {n: t for n, t in (dict(tiny_checkpoint.generator) | change).items() if t is not None}
        save_checkpoint(Checkpoint(tiny_checkpoint.card, state), tmp_path / "bad.safetensors")
        with pytest.raises(CheckpointMismatch, match=sentence):
            load_checkpoint(tmp_path / "bad.safetensors")


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    """Whatever goes wrong while writing, the former checkpoint stays whole and no rubbish stays behind."""
    path = tmp_path / "a.safetensors"
    save_checkpoint(tiny_checkpoint, path)
    before = path.read_bytes()
    unsavable = Checkpoint(tiny_checkpoint.card, {"x": torch.zeros(2, device="meta")})
    with pytest.raises((NotImplementedError, RuntimeError)):
        save_checkpoint(unsavable, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_statistics_describe_w(tiny_generator: Generator) -> None:
    """Mean and spread are those of styles drawn from the mapping network."""
    statistics = measure_latents(tiny_generator, samples=4000, seed=5)
    w = tiny_generator.mapping(torch.randn(4000, 8, generator=torch.Generator().manual_seed(6)))
    torch.testing.assert_close(statistics.mean[0], w.mean(dim=0), atol=0.05, rtol=0.1)
    distance = (w - w.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    assert statistics.spread == pytest.approx(float(distance), rel=0.1)


def with_card(path: Path, folder: Path, **changes: object) -> Path:
    """Copy a checkpoint with some fields of its card changed."""
    card = read_card(path).model_dump(mode="json") | changes
    copy = folder / "changed.safetensors"
    save_file(load_file(path), copy, metadata={METADATA_KEY: json.dumps(card)})
    return copy
