"""Export and import are each other's inverse, over random small architectures; other programs can open the files."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_faces.align import FFHQ
from nigaoe_model.checkpoints.conversion import Description, converted_checkpoint
from nigaoe_model.checkpoints.exporting import ExportLayout, export_weights
from nigaoe_model.checkpoints.families import nvidia
from nigaoe_model.checkpoints.reader_process import Request, answer
from nigaoe_model.checkpoints.sandbox import raise_problem
from nigaoe_model.stylegan2.architecture import Architecture, published_architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, tensor_digest
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator

widths = st.integers(1, 9)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Any shape that the layouts must carry, small enough to be quick."""
    resolution = draw(st.sampled_from([16, 32]))
    return Architecture(
        resolution=resolution,
        channels={2**k: draw(widths) for k in range(2, resolution.bit_length())},
        z_dim=draw(widths),
        w_dim=draw(widths),
        mapping_layers=draw(st.integers(1, 4)),
        mapping_lr_multiplier=draw(st.sampled_from([0.01, 0.1])),
        conv_clamp=draw(st.sampled_from([None, 256.0])),
        minibatch_std_group=draw(st.sampled_from([2, 4, 8])),
        resample_filter=draw(st.sampled_from([(1.0, 3.0, 3.0, 1.0), (0.5, 0.5)])),
    )


def _random(architecture: Architecture) -> Checkpoint:
    torch.manual_seed(0)
    card = CheckpointCard(name="random", architecture=architecture, alignment=FFHQ, domain="human")
    return Checkpoint(card, Generator(architecture).state_dict(), Discriminator(architecture).state_dict())


def _back(path: Path, tmp_path: Path) -> Checkpoint:
    """Import a file as `nigaoe weights import` does, without the process around it."""
    tensors = tmp_path / "tensors.safetensors"
    reading = answer(Request(path=path, output=tensors, memory=0, seconds=0))
    raise_problem(reading)
    return converted_checkpoint(path, reading, tensors, Description("random"))


@pytest.mark.parametrize("layout", ["rosinality", "nvidia-state"])
def test_export_then_import_is_the_identity(tmp_path: Path, layout: ExportLayout) -> None:
    """Both networks bit for bit, and the card, for any architecture."""

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(architectures())
    def check(architecture: Architecture) -> None:
        checkpoint = _random(architecture)
        export_weights(checkpoint, layout, tmp_path / "out.pt")
        back = _back(tmp_path / "out.pt", tmp_path)
        assert back.digest == checkpoint.digest
        assert tensor_digest(back.discriminator) == tensor_digest(checkpoint.discriminator)
        assert back.card == checkpoint.card

    check()


@pytest.mark.parametrize("layout", ["rosinality", "nvidia-state"])
def test_everybody_can_open_what_we_export(tmp_path: Path, tiny_checkpoint: Checkpoint, layout: ExportLayout) -> None:
    """Tensors, numbers and texts only: torch's safe loader takes the file."""
    export_weights(tiny_checkpoint, layout, tmp_path / "out.pt")
    document = torch.load(tmp_path / "out.pt", weights_only=True)
    assert document["g_ema" if layout == "rosinality" else "G_ema"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.pt"]


@pytest.mark.parametrize("key", ["g_ema", "d"])
def test_the_golden_file_is_written_again_as_it_was(repository: Path, tmp_path: Path, key: str) -> None:
    """rosinality's own names, shapes, kernels and numbers: none more, none less."""
    golden = repository / "tests" / "data" / "golden" / "rosinality-64.pt"
    export_weights(_back(golden, tmp_path), "rosinality", tmp_path / "out.pt")
    with torch.serialization.safe_globals([argparse.Namespace]):
        expected: dict[str, Any] = torch.load(golden, weights_only=True)[key]
    found = torch.load(tmp_path / "out.pt", weights_only=True)[key]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_nvidias_arguments_build_the_same_network() -> None:
    """The published table comes from two numbers, which are found again; a free table has none."""
    arguments = nvidia.generator_arguments(published_architecture(256, channel_base=16384))
    assert arguments["synthesis_kwargs"]["channel_base"] == 16384
    assert arguments["synthesis_kwargs"]["channel_max"] == 512
    free = Architecture(resolution=16, channels={4: 3, 8: 7, 16: 5}, z_dim=4, w_dim=4)
    assert "channel_base" not in nvidia.generator_arguments(free)["synthesis_kwargs"]


def test_a_view_does_not_drag_its_storage_along(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    """Tensors from a mapped file share its memory; the export holds only their own numbers."""
    pool = torch.zeros(1_000_000)
    name = "synthesis.blocks.b4.const"
    pool[: tiny_checkpoint.generator[name].numel()] = tiny_checkpoint.generator[name].flatten()
    view = pool[: tiny_checkpoint.generator[name].numel()].view_as(tiny_checkpoint.generator[name])
    viewed = Checkpoint(tiny_checkpoint.card, {**tiny_checkpoint.generator, name: view})
    export_weights(viewed, "rosinality", tmp_path / "out.pt")
    assert (tmp_path / "out.pt").stat().st_size < 500_000


def test_a_file_without_generator_is_not_exported(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    """And nothing is left behind."""
    empty = Checkpoint(
        tiny_checkpoint.card, discriminator=Discriminator(tiny_checkpoint.card.architecture).state_dict()
    )
    with pytest.raises(CheckpointMismatch, match="no generator"):
        export_weights(empty, "rosinality", tmp_path / "out.pt")
    assert not list(tmp_path.iterdir())
