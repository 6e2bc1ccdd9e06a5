"""Files of GANs N' Roses: the published one against what the published program draws, and our own."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch, ForeignCheckpoint, MethodMismatch, UnsafeCheckpoint
from nigaoe_faces.align import DEMO
from nigaoe_model.checkpoints.examination import examine
from nigaoe_model.checkpoints.sandbox import read_in_sandbox
from nigaoe_model.compared.gans_n_roses import GansNRosesGenerator
from nigaoe_model.compared.gans_n_roses_architecture import GansNRosesArchitecture
from nigaoe_model.compared.gans_n_roses_checkpoint import (
    GansNRosesCard,
    GansNRosesCheckpoint,
    import_gans_n_roses,
    load_gans_n_roses,
    new_network,
    published_document,
    save_gans_n_roses,
)
from nigaoe_model.compared.gans_n_roses_layout import (
    ANIME_TO_PHOTO,
    AVERAGED_NAMES,
    PHOTO_DISCRIMINATOR,
    PHOTO_TO_ANIME,
    STYLE_DISCRIMINATOR,
)
from nigaoe_model.stylegan2.checkpoint import load_checkpoint

ARCHITECTURE = GansNRosesArchitecture(
    size=16, num_down=1, channels={4: 5, 8: 6, 16: 7}, latent_dim=3, style_dim=8, mapping_layers=2, local_size=8
)


@pytest.fixture(scope="session")
def golden(repository: Path) -> Path:
    """A small random network as the published program stores it."""
    return repository / "tests" / "data" / "golden" / "gnr-64.pt"


@pytest.fixture(scope="module")
def imported(golden: Path) -> GansNRosesCheckpoint:
    """The same network, imported."""
    return import_gans_n_roses(golden, "gnr", alignment=DEMO, licence="CC0-1.0")


@pytest.fixture
def tiny() -> GansNRosesCheckpoint:
    """All five networks, seeded."""
    torch.manual_seed(0)
    networks = {name: new_network(name, ARCHITECTURE).state_dict() for name in AVERAGED_NAMES}
    return GansNRosesCheckpoint(GansNRosesCard(name="tiny", architecture=ARCHITECTURE, alignment=DEMO), networks)


@pytest.fixture
def tiny_file(tiny: GansNRosesCheckpoint, tmp_path: Path) -> Path:
    """Them on disk, in the published layout."""
    path = tmp_path / "ck.pt"
    torch.save(published_document(tiny) | {"iter": 4000, "G_optim": {"state": {}}}, path)
    return path


def _changed(file: Path, change: dict[str, Any]) -> Path:
    document = torch.load(file, weights_only=True)
    path = file.with_name("changed.pt")
    torch.save({key: value for key, value in (document | change).items() if value is not None}, path)
    return path


def _close(found: Tensor, expected: Tensor) -> None:
    scale = (expected.max() - expected.min()).clamp_min(1e-3)
    assert found.shape == expected.shape
    assert ((found - expected).abs().max() / scale).item() < 1e-4


def test_it_draws_what_the_published_program_draws(golden: Path, imported: GansNRosesCheckpoint) -> None:
    """Content, style code and pictures, within 1e-4 of their range."""
    expected = load_file(golden.with_name("gnr-64-expected.safetensors"))
    generator = imported.build().photo_to_anime
    content, code = generator.encode(expected["x"])
    _close(content, expected["content"])
    _close(code, expected["style"])
    _close(generator.decode(content, code), expected["decoded_own"])
    _close(generator.decode(content, expected["z"]), expected["decoded_z"])


def test_it_judges_as_the_published_program_judges(golden: Path, imported: GansNRosesCheckpoint) -> None:
    """The three outputs for pictures, and the one for style codes, of a batch of four."""
    expected = load_file(golden.with_name("gnr-64-expected.safetensors"))
    networks = {}
    for name in (PHOTO_DISCRIMINATOR, STYLE_DISCRIMINATOR):
        networks[name] = new_network(name, imported.card.architecture)
        networks[name].load_state_dict(imported.networks[name])
    with torch.no_grad():
        for number, output in enumerate(networks[PHOTO_DISCRIMINATOR](expected["x"])):
            _close(output, expected[f"d{number}"])
        _close(networks[STYLE_DISCRIMINATOR](expected["z"]), expected["l0"])


def test_the_card_says_where_it_comes_from(golden: Path, imported: GansNRosesCheckpoint) -> None:
    """The architecture is read off the shapes."""
    card, shape = imported.card, imported.card.architecture
    assert (card.name, card.alignment, card.licence, card.source) == ("gnr", DEMO, "CC0-1.0", golden.name)
    assert "GANsNRoses" in card.training.notes
    assert (shape.size, shape.num_down, shape.latent_dim, shape.style_dim) == (64, 2, 8, 512)
    assert (shape.mapping_layers, shape.residual_blocks, shape.local_size) == (5, 1, 32)
    assert shape.channels == {4: 48, 8: 48, 16: 48, 32: 32, 64: 24}


def test_exporting_the_golden_file_gives_it_again(golden: Path, imported: GansNRosesCheckpoint) -> None:
    """Every tensor, filters included, bit for bit up to the rounding of the filters."""
    theirs, ours = torch.load(golden, weights_only=True), published_document(imported)
    assert ours.keys() == {"G_A2B_ema", "D_A", "D_L"}
    for key, state in ours.items():
        assert state.keys() == theirs[key].keys()
        for name, tensor in state.items():
            torch.testing.assert_close(tensor, theirs[key][name], rtol=0, atol=1e-7 if "kernel" in name else 0)


def test_export_and_import_are_inverse(tiny: GansNRosesCheckpoint, tiny_file: Path) -> None:
    """All five networks come back as they were."""
    back = import_gans_n_roses(tiny_file, "tiny")
    assert back.card.architecture == ARCHITECTURE
    assert back.networks.keys() == tiny.networks.keys()
    for name, state in tiny.networks.items():
        assert back.networks[name].keys() == state.keys()
        assert all(torch.equal(back.networks[name][key], tensor) for key, tensor in state.items())
    assert back.digest == tiny.digest


def test_without_a_moving_average_the_network_itself_is_taken(tiny: GansNRosesCheckpoint, tiny_file: Path) -> None:
    """And the card says so."""
    document = published_document(tiny)
    plain = {"G_A2B": document["G_A2B_ema"], "G_A2B_ema": None, "G_B2A_ema": None}
    back = import_gans_n_roses(_changed(tiny_file, plain), "tiny")
    assert back.digest == tiny.digest
    assert ANIME_TO_PHOTO not in back.networks
    assert "no moving averages" in back.card.training.notes


@pytest.mark.parametrize(
    ("change", "error", "hint"),
    [
        ({"G_A2B_ema": None}, ForeignCheckpoint, "neither `G_A2B_ema` nor `G_A2B`"),
        ({"G_A2B_ema": {"extra.weight": torch.zeros(1)}}, CheckpointMismatch, "extra.weight"),
        ({"G_A2B_ema": {"mapping.0.weight": torch.zeros(9, 3)}}, CheckpointMismatch, "mapping.0.weight"),
        ({"G_A2B_ema": {"conv1.conv.weight": None}}, CheckpointMismatch, "conv1.conv.weight"),
        ({"G_A2B_ema": {"encoder.stem.0.0.weight": None}}, CheckpointMismatch, "do not fit together"),
        ({"G_A2B_ema": {"conv1.activate.bias": torch.zeros(6, dtype=torch.int64)}}, CheckpointMismatch, "int64"),
        ({"D_A": {"g_std.0.0.kernel": torch.ones(4, 4)}}, CheckpointMismatch, "filter"),
        ({"D_L": {"fc.5.weight": torch.zeros(2, 256)}}, CheckpointMismatch, "fc.5.weight"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tiny_file: Path, change: dict[str, Any], error: type[Exception], hint: str
) -> None:
    """Each with the part that is wrong."""
    document = torch.load(tiny_file, weights_only=True)
    whole = {
        key: part
        if part is None
        else {name: tensor for name, tensor in (document[key] | part).items() if tensor is not None}
        for key, part in change.items()
    }
    with pytest.raises(error, match=hint):
        import_gans_n_roses(_changed(tiny_file, whole), "tiny")


def test_a_file_that_would_run_code_is_refused(tiny_file: Path) -> None:
    """However genuine the weights beside it are."""

    class Malicious:
        def __reduce__(self) -> Any:
            return os.system, ("true",)

    document = torch.load(tiny_file, weights_only=True)
    torch.save(document | {"args": Malicious()}, tiny_file)
    with pytest.raises(UnsafeCheckpoint, match="system"):
        import_gans_n_roses(tiny_file, "tiny")
    output = tiny_file.with_name("tensors.safetensors")
    assert read_in_sandbox(tiny_file, output=output, parts=("G_A2B_ema.",)).unsafe_imports
    assert not output.exists()


def test_only_the_parts_that_are_asked_for_are_written(tiny_file: Path, tmp_path: Path) -> None:
    """Under the names that they have in the file; optimisers and other networks stay where they are."""
    output = tmp_path / "tensors.safetensors"
    read_in_sandbox(tiny_file, output=output, parts=("D_L.", "G_optim."))
    assert {name.partition(".")[0] for name in load_file(output)} == {"D_L"}
    assert "D_L.fc.4.fc.weight" in load_file(output)


def test_an_examination_says_what_the_file_is(golden: Path) -> None:
    """It is no generator to search in, and can be imported as what it is."""
    reading = read_in_sandbox(golden)
    assert (reading.title, reading.method, reading.layout) == ("GANs N' Roses", "gans-n-roses", None)
    assert not reading.problem
    assert {"G_A2B_ema", "D_A", "D_L"} <= {network.name for network in reading.networks}


def test_what_is_written_is_read(tiny: GansNRosesCheckpoint, tmp_path: Path) -> None:
    """The same card and tensors; in half precision nearly the same drawing."""
    path, slim = tmp_path / "gnr.safetensors", tmp_path / "slim.safetensors"
    save_gans_n_roses(tiny, path)
    back = load_gans_n_roses(path)
    assert back.card == tiny.card
    for name, state in tiny.networks.items():
        assert all(torch.equal(back.networks[name][key], tensor) for key, tensor in state.items())

    half = GansNRosesCheckpoint(tiny.card, {PHOTO_TO_ANIME: tiny.networks[PHOTO_TO_ANIME]})
    save_gans_n_roses(half, slim, dtype=torch.float16)
    assert {tensor.dtype for tensor in load_file(slim).values()} == {torch.float16}
    photo = torch.rand(1, 3, 16, 16) * 2 - 1
    drawn = load_gans_n_roses(slim).build()
    assert drawn.anime_to_photo is None
    assert not any(parameter.requires_grad for parameter in drawn.photo_to_anime.parameters())
    torch.testing.assert_close(drawn.draw(photo, [1]), tiny.build().draw(photo, [1]), atol=2e-2, rtol=0)


def test_other_loaders_say_what_the_file_is(tiny: GansNRosesCheckpoint, tmp_path: Path) -> None:
    """It is given as a generator, or examined."""
    path = tmp_path / "gnr.safetensors"
    save_gans_n_roses(tiny, path)
    with pytest.raises(MethodMismatch, match="GANs N' Roses"):
        load_checkpoint(path)
    reading = examine(path).reading
    assert "GANs N' Roses" in reading.title
    assert (reading.method, reading.problem) == ("gans-n-roses", "")


def test_damage_has_a_clear_error(tiny: GansNRosesCheckpoint, tmp_path: Path) -> None:
    """Missing, truncated, foreign, newer, another kind, incomplete, too much."""
    path = tmp_path / "gnr.safetensors"
    save_gans_n_roses(tiny, path)
    tensors, card = load_file(path), json.loads(tiny.card.model_dump_json())

    def write(tensors: dict[str, Tensor], **change: Any) -> Path:
        save_file(tensors, path, metadata={"nigaoe": json.dumps(card | change)})
        return path

    with pytest.raises(BrokenCheckpoint, match="no weight file"):
        load_gans_n_roses(tmp_path / "nothing.safetensors")
    with pytest.raises(ForeignCheckpoint, match="format 2"):
        load_gans_n_roses(write(tensors, format_version=2))
    with pytest.raises(MethodMismatch, match="holds no GANs N' Roses"):
        load_gans_n_roses(write(tensors, kind="encoder"))
    with pytest.raises(BrokenCheckpoint, match="metadata"):
        load_gans_n_roses(write(tensors, architecture={}))
    with pytest.raises(CheckpointMismatch, match="1 missing"):
        load_gans_n_roses(write({k: t for k, t in tensors.items() if k != "photo_to_anime.mapping.layers.0.bias"}))
    with pytest.raises(CheckpointMismatch, match="belong to nothing"):
        load_gans_n_roses(write(tensors | {"more.bias": torch.zeros(1)}))
    with pytest.raises(CheckpointMismatch, match="lacks the network"):
        load_gans_n_roses(write({k: t for k, t in tensors.items() if not k.startswith("photo_to_anime.")}))
    save_file(tensors, path)
    with pytest.raises(ForeignCheckpoint, match="another program"):
        load_gans_n_roses(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BrokenCheckpoint, match="no complete"):
        load_gans_n_roses(path)


def test_tensors_that_do_not_fit_build_nothing(tiny: GansNRosesCheckpoint) -> None:
    """A checkpoint that was put together by hand is checked once more."""
    wider = tiny.card.model_copy(update={"architecture": ARCHITECTURE.model_copy(update={"style_dim": 9})})
    with pytest.raises(CheckpointMismatch, match="has shape"):
        GansNRosesCheckpoint(wider, tiny.networks).build()
    assert isinstance(tiny.build().anime_to_photo, GansNRosesGenerator)
