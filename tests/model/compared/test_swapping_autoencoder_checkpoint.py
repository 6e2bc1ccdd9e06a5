"""Swapping Autoencoders of other programs: told apart, converted, and the same pictures as theirs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from nigaoe.cli import app
from nigaoe_core.errors import (
    BrokenCheckpoint,
    CheckpointError,
    CheckpointMismatch,
    ForeignCheckpoint,
    MethodMismatch,
    UnsafeCheckpoint,
)
from nigaoe_faces.align import FFHQ
from nigaoe_model.checkpoints.examination import examine
from nigaoe_model.compared.swapping_autoencoder import Codes, SwappingAutoencoder
from nigaoe_model.compared.swapping_autoencoder_architecture import (
    SHRUNK,
    SwappingAutoencoderArchitecture,
    official_architecture,
    rosinality_architecture,
)
from nigaoe_model.compared.swapping_autoencoder_checkpoint import (
    SwappingAutoencoderCard,
    SwappingAutoencoderCheckpoint,
    foreign_document,
    import_swapping_autoencoder,
    load_swapping_autoencoder,
    save_swapping_autoencoder,
)
from nigaoe_model.compared.swapping_autoencoder_layouts import table
from nigaoe_model.stylegan2.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

GOLDEN_TOLERANCE = 1e-4
"""Of the range of the published program's outputs."""

TINY = official_architecture(32, halvings=2, encoder_width=4, texture_halvings=1, texture_dim=12, generator_width=16)


@pytest.fixture(scope="module")
def golden_file(repository: Path) -> Path:
    """Random networks, written by rosinality's program."""
    return repository / "tests" / "data" / "golden" / "sae-128.pt"


@pytest.fixture(scope="module")
def imported(golden_file: Path) -> SwappingAutoencoderCheckpoint:
    """The golden file in our format."""
    return import_swapping_autoencoder(golden_file, "golden", resolution=128, licence="CC0-1.0")


@pytest.fixture(scope="module")
def expected(repository: Path) -> dict[str, Tensor]:
    """What that program makes of two pictures, without noise."""
    return load_file(repository / "tests" / "data" / "golden" / "sae-128-expected.safetensors")


def random_checkpoint(architecture: SwappingAutoencoderArchitecture) -> SwappingAutoencoderCheckpoint:
    """Return a network none of whose tensors is zero, under a card."""
    torch.manual_seed(5)
    state = {
        name: tensor + 0.1 * torch.randn(tensor.shape)
        for name, tensor in SwappingAutoencoder(architecture).state_dict().items()
    }
    card = SwappingAutoencoderCard(name="random", architecture=architecture, alignment=FFHQ)
    return SwappingAutoencoderCheckpoint(card, state)


def _assert_close(found: Tensor, wanted: Tensor) -> None:
    assert (found - wanted).abs().max() <= GOLDEN_TOLERANCE * (wanted.max() - wanted.min())


def test_the_golden_files_architecture_is_read_off_its_shapes(imported: SwappingAutoencoderCheckpoint) -> None:
    """Six channels, and what follows from them in rosinality's program."""
    assert imported.card.architecture == rosinality_architecture(128, channel=6)
    assert "rosinality" in imported.card.training.notes


def test_the_golden_files_codes_and_pictures_are_the_published_programs(
    imported: SwappingAutoencoderCheckpoint, expected: dict[str, Tensor]
) -> None:
    """Encoding, drawing again, and drawing with another picture's texture."""
    network = imported.build()
    with torch.no_grad():
        codes = network.encode(expected["x"])
        _assert_close(codes.structure, expected["structure"])
        _assert_close(codes.texture, expected["texture"])
        _assert_close(network.generator(codes, noise="none"), expected["decoded"])
        swapped = Codes(codes.structure[:1], codes.texture[1:])
        _assert_close(network.generator(swapped, noise="none"), expected["swapped"])


def test_the_golden_file_survives_the_way_there_and_back(
    imported: SwappingAutoencoderCheckpoint, golden_file: Path
) -> None:
    """The same names, shapes and numbers as in the published layout, filters included."""
    theirs = torch.load(golden_file, weights_only=True)
    ours = foreign_document(imported)
    for network in ("e_ema", "g_ema"):
        assert ours[network].keys() == theirs[network].keys()
        assert all(torch.equal(ours[network][name], tensor) for name, tensor in theirs[network].items())


@pytest.mark.parametrize("architecture", [TINY, SHRUNK["medium"], rosinality_architecture(64, channel=2)])
def test_import_of_what_was_exported_changes_nothing(
    architecture: SwappingAutoencoderArchitecture, tmp_path: Path
) -> None:
    """Both layouts; the official one beside discriminators and a counter, as its program writes it."""
    checkpoint = random_checkpoint(architecture)
    beside = {"D.convs.0.weight": torch.zeros(2), "num_discriminator_iters": torch.zeros(1, dtype=torch.int64)}
    torch.save(foreign_document(checkpoint) | (beside if architecture.is_official else {}), tmp_path / "foreign.pth")
    found = import_swapping_autoencoder(tmp_path / "foreign.pth", "random", resolution=architecture.resolution)
    assert found.card.architecture == architecture
    assert found.digest == checkpoint.digest


def test_the_official_layout_has_the_names_and_shapes_of_the_specification() -> None:
    """No golden file of that program exists: its names and shapes are all that is checked."""
    shapes = {row.foreign: row.foreign_shape for row in table(official_architecture())}
    assert shapes["E.FromRGB.Conv.weight"] == (32, 3, 1, 1)
    assert [shapes[f"E.DownToSpatialCode.ResBlockDownBy{by}.skip.Conv.weight"][:2] for by in (1, 2, 4, 8)] == [
        (64, 32), (128, 64), (256, 128), (512, 256)
    ]  # fmt: skip
    assert [shapes[f"E.DownToGlobalCode.ConvLayerDownBy{by}.Conv.weight"] for by in (16, 32)] == [
        (1024, 512, 3, 3), (2048, 1024, 3, 3)
    ]  # fmt: skip
    assert shapes["E.ToGlobalCode.0.weight"] == (2048, 2048)
    assert shapes["G.SpatialCodeModulation.scale.weight"] == shapes["G.SpatialCodeModulation.bias.weight"] == (8, 2048)
    assert shapes["G.HeadResnetBlock0.conv1.conv.weight"] == (1, 256, 8, 3, 3)
    assert [shapes[f"G.UpsamplingResBlock{by}.conv2.activate.bias"] for by in (16, 32, 64, 128)] == [
        (512,), (512,), (256,), (128,)
    ]  # fmt: skip
    assert shapes["G.UpsamplingResBlock16.conv1.noise.weight"] == (1,)
    assert shapes["G.ToRGB.conv.modulation.weight"] == (128, 2048)


def test_a_file_without_moving_average_gives_the_networks_themselves(tmp_path: Path) -> None:
    """`e` and `g` are better than nothing."""
    document = foreign_document(random_checkpoint(rosinality_architecture(64, channel=2)))
    torch.save({"e": document["e_ema"], "g": document["g_ema"]}, tmp_path / "plain.pt")
    assert import_swapping_autoencoder(tmp_path / "plain.pt", "plain", resolution=64).tensors


def test_a_native_file_says_what_it_is_and_gives_the_same_pictures(tmp_path: Path) -> None:
    """Half precision, a card, and nothing to import."""
    checkpoint, path = random_checkpoint(TINY), tmp_path / "swap.safetensors"
    save_swapping_autoencoder(checkpoint, path)
    found = load_swapping_autoencoder(path)
    assert (found.card, found.digest) == (checkpoint.card, checkpoint.digest)
    save_swapping_autoencoder(checkpoint, path, dtype=torch.float16)
    photos = torch.rand(2, 3, 32, 32) * 2 - 1
    whole, slim = checkpoint.build().swap(photos, photos.flip(0)), load_swapping_autoencoder(path).build()
    assert (slim.swap(photos, photos.flip(0)) - whole).abs().max() < 0.02 * (whole.max() - whole.min())


def test_a_native_file_may_hold_a_mean_texture(tmp_path: Path) -> None:
    """Whole, however slim the weights beside it; of the architecture's length or not at all."""
    checkpoint, path = random_checkpoint(TINY), tmp_path / "swap.safetensors"
    assert checkpoint.mean_texture is None
    texture = torch.rand(TINY.texture_dim)
    save_swapping_autoencoder(replace(checkpoint, mean_texture=texture), path, dtype=torch.float16)
    found = load_swapping_autoencoder(path)
    assert found.mean_texture is not None
    assert torch.equal(found.mean_texture, texture)
    assert found.tensors.keys() == checkpoint.tensors.keys()
    save_swapping_autoencoder(replace(checkpoint, mean_texture=texture[None]), path)
    with pytest.raises(CheckpointMismatch, match="mean texture of shape"):
        load_swapping_autoencoder(path)


def test_a_native_file_with_a_hole_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    """Before anybody builds a network of it."""
    checkpoint = random_checkpoint(TINY)
    tensors = {name: tensor for name, tensor in checkpoint.tensors.items() if name != "encoder.stem.bias"}
    save_swapping_autoencoder(SwappingAutoencoderCheckpoint(checkpoint.card, tensors), tmp_path / "hole.safetensors")
    with pytest.raises(CheckpointMismatch, match="1 missing"):
        load_swapping_autoencoder(tmp_path / "hole.safetensors")


@pytest.mark.parametrize("architecture", [TINY, rosinality_architecture(64, channel=2)])
def test_examination_tells_what_the_file_is_and_what_can_be_done(
    architecture: SwappingAutoencoderArchitecture, tmp_path: Path
) -> None:
    """It has no latents to search in, and can be imported as what it is."""
    torch.save(foreign_document(random_checkpoint(architecture)), tmp_path / "foreign.pt")
    examination = examine(tmp_path / "foreign.pt")
    assert examination.reading.title.startswith("Swapping Autoencoder")
    assert (examination.reading.method, examination.reading.problem) == ("swapping-autoencoder", "")


def test_weights_inspect_tells_both_kinds_of_file(golden_file: Path, tmp_path: Path) -> None:
    """The published one and ours, on the command line."""
    save_swapping_autoencoder(random_checkpoint(TINY), tmp_path / "swap.safetensors")
    for path in (golden_file, tmp_path / "swap.safetensors"):
        result = CliRunner().invoke(app, ["weights", "inspect", str(path)])
        assert result.exit_code == 0
        assert "Swapping Autoencoder" in result.output


def test_a_generator_is_no_swapping_autoencoder_and_the_other_way_round(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Each loader says what the file is instead of calling it damaged."""
    save_checkpoint(tiny_checkpoint, tmp_path / "generator.safetensors")
    save_swapping_autoencoder(random_checkpoint(TINY), tmp_path / "swap.safetensors")
    with pytest.raises(MethodMismatch, match="no Swapping Autoencoder"):
        load_swapping_autoencoder(tmp_path / "generator.safetensors")
    with pytest.raises(MethodMismatch, match="of the method Swapping Autoencoder"):
        load_checkpoint(tmp_path / "swap.safetensors")


def test_a_card_whose_kind_is_no_name_is_no_crash(tmp_path: Path) -> None:
    """What a file says about itself is its author's choice."""
    save_file({"x": torch.zeros(1)}, tmp_path / "odd.safetensors", {"nigaoe": '{"kind": ["swapping-autoencoder"]}'})
    assert examine(tmp_path / "odd.safetensors").reading.title
    for load in (load_checkpoint, load_swapping_autoencoder):
        with pytest.raises(CheckpointError):
            load(tmp_path / "odd.safetensors")


def test_a_stylegan2_is_refused(repository: Path) -> None:
    """Its networks are called `g` and `g_ema`, too."""
    with pytest.raises(ForeignCheckpoint, match="no Swapping Autoencoder"):
        import_swapping_autoencoder(repository / "tests" / "data" / "golden" / "rosinality-64.pt", "wrong")


@pytest.mark.parametrize(
    ("change", "error", "hint"),
    [
        ({"e.attention.weight": torch.zeros(3)}, ForeignCheckpoint, "attention"),
        ({"e.stem.1.conv2.0.kernel": torch.ones(4, 4)}, ForeignCheckpoint, "kernel"),
        ({"g.layers.2.conv1.activate.bias": torch.zeros(3)}, CheckpointMismatch, "shape"),
        ({"e.structure.0.1.bias": torch.zeros(32, dtype=torch.int8)}, CheckpointMismatch, "int8"),
        ({"e.texture.3.0.weight": None}, CheckpointMismatch, "do not fit together"),
        ({"g.to_rgb.0.bias": None}, CheckpointMismatch, "no tensor"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, change: dict[str, Tensor | None], error: type[CheckpointError], hint: str
) -> None:
    """Variants, other filters, holes, other shapes and quantised numbers."""
    document = foreign_document(random_checkpoint(rosinality_architecture(64, channel=2)))
    for name, tensor in change.items():
        network, _, rest = name.partition(".")
        if tensor is None:
            del document[f"{network}_ema"][rest]
        else:
            document[f"{network}_ema"][rest] = tensor
    torch.save(document, tmp_path / "foreign.pt")
    with pytest.raises(error, match=hint):
        import_swapping_autoencoder(tmp_path / "foreign.pt", "wrong", resolution=64)


def test_a_file_that_would_run_code_and_a_damaged_one_are_refused(tmp_path: Path, golden_file: Path) -> None:
    """By the same reader as every foreign file, before a tensor is read."""
    document = foreign_document(random_checkpoint(rosinality_architecture(64, channel=2)))
    torch.save(document | {"model": torch.nn.Linear(2, 2)}, tmp_path / "module.pt")
    with pytest.raises(UnsafeCheckpoint):
        import_swapping_autoencoder(tmp_path / "module.pt", "unsafe")
    (tmp_path / "half.pt").write_bytes(golden_file.read_bytes()[:100_000])
    with pytest.raises(BrokenCheckpoint):
        import_swapping_autoencoder(tmp_path / "half.pt", "half")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ForeignCheckpoint):
        load_swapping_autoencoder(tmp_path / "other.safetensors")
