"""`nigaoe weights` and `nigaoe styles`: the commands as people type them, with a registry of their own."""

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from feed_forward_files import write_feed_forward_styles
from typer.testing import CliRunner

from nigaoe.cli import app
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.errors import MethodMismatch, NigaoeError, UnknownGenerator, UsageError
from nigaoe_core.registry import Registry
from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.portrait.pair import load_generator


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own, and a wide terminal."""
    monkeypatch.setenv("NIGAOE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "data"


@pytest.fixture
def golden(repository: Path) -> Path:
    """The folder of golden files."""
    return repository / "tests" / "data" / "golden"


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["weights", *map(str, arguments)])


def _done(*arguments: str | Path) -> Result:
    result = _run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def _refused(kind: type[NigaoeError], *arguments: str | Path) -> NigaoeError:
    error = _run(*arguments).exception
    assert isinstance(error, kind)
    return error


def _listed() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(_done("list", "--json").stdout)["weights"]}


class _Executes:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.usefixtures("data")
def test_inspect_tells_what_a_file_is(golden: Path) -> None:
    """Family, resolution, latents, networks, and that its usual loader would execute source."""
    text = _done("inspect", golden / "nvidia-ada-64.pkl").stdout
    for fact in ("NVIDIA", "64 px", "w 64, 2 mapping layers", "G_ema: 94 tensors", "executes Python source", "yes"):
        assert fact in text


@pytest.mark.usefixtures("data")
def test_inspect_lists_tensors_and_speaks_json(golden: Path) -> None:
    """For people who want all of it, and for programs."""
    assert "g_ema: conv1.conv.weight" in _done("inspect", golden / "rosinality-64.pt", "--tensors").stdout
    document = json.loads(_done("inspect", golden / "rosinality-64.pt", "--json").stdout)
    assert (document["family"], document["trainable_blocks"]) == ("freezeg", 4)


@pytest.mark.usefixtures("data")
def test_inspect_warns_of_code(tmp_path: Path) -> None:
    """The name of what would run is shown; it does not run."""
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(_Executes(tmp_path / "marker")))
    text = _done("inspect", tmp_path / "evil.pkl").stdout
    assert f"YES, when loaded in the usual way: {os.system.__module__}.system" in text
    assert "unsafe_checkpoint" in text
    assert not (tmp_path / "marker").exists()


def test_import_list_verify_export_remove(golden: Path, data: Path, tmp_path: Path) -> None:
    """The life of a generator, from a file and back to one."""
    _done("import", golden / "rosinality-64.pt", "--name", "mine", "--licence", "CC0-1.0", "--alignment", "1.1,0.02")
    row = _listed()["mine"]
    assert (row["kind"], row["resolution"], row["licence"], row["bundled"]) == ("generator", 64, "CC0-1.0", False)
    assert "✓ mine" in _done("verify", "mine").stdout
    _done("export", "mine", "--layout", "rosinality", "-o", tmp_path / "out.pt")
    assert "rosinality" in _done("inspect", tmp_path / "out.pt").stdout
    _done("remove", "mine", "--yes")
    assert "mine" not in _listed()
    assert [path.name for path in (data / "weights").iterdir() if not path.name.startswith(".")] == ["manifest.toml"]


def test_a_style_is_imported_with_its_parent(data: Path) -> None:
    """It stands in `nigaoe styles`, and its generator cannot be removed while it is there."""
    native = BUNDLED_WEIGHTS / "g_ori.safetensors"
    _done("import", native, "--name", "people", "--no-discriminator")
    described = ("--parent", "people", "--title", "Ink", "--upscaler", "lanczos")
    _done("import", BUNDLED_WEIGHTS / "anime.safetensors", "--name", "drawings", *described)
    styles = CliRunner().invoke(app, ["styles"]).stdout
    assert "Ink" in styles
    assert "people" in styles
    document = {row["name"]: row for row in json.loads(CliRunner().invoke(app, ["styles", "--json"]).stdout)}
    assert document["drawings"]["trainable_blocks"] == document["anime"]["trainable_blocks"]
    assert "drawings" in _refused(UsageError, "remove", "people", "--yes").message
    style = Registry.load(user=data / "weights").style("drawings")
    assert style.facts is not None
    assert style.upscaler == document["drawings"]["upscaler"] == "lanczos"


@pytest.mark.usefixtures("data")
def test_everything_that_is_bundled_verifies() -> None:
    """A fresh installation is sound, and cannot be taken apart."""
    output = _done("verify").stdout
    assert "✓ g_ori" in output
    assert "✓ anime" in output
    assert "cannot be removed" in _refused(UsageError, "remove", "anime", "--yes").message


def test_verify_ends_with_the_code_of_what_is_wrong(data: Path) -> None:
    """A damaged file among sound ones: all are looked at, the exit code is the checkpoint's."""
    _done("import", BUNDLED_WEIGHTS / "g_ori.safetensors", "--name", "people")
    shutil.copy(BUNDLED_WEIGHTS / "anime.safetensors", data / "weights" / "people.safetensors")
    result = _run("verify")
    assert result.exit_code == 5
    assert "✗ people" in result.stdout
    assert "✓ anime" in result.stdout


def test_an_encoder_stays_with_its_generator(data: Path, tmp_path: Path) -> None:
    """Attached, listed, verified, and removed with it."""
    _done("import", BUNDLED_WEIGHTS / "g_ori.safetensors", "--name", "people")
    loaded = load_generator(data / "weights" / "people.safetensors")
    encoder = Encoder(encoder_architecture(loaded.card.architecture), loaded.statistics)
    card = EncoderCard(
        name="guess",
        architecture=encoder.architecture,
        generator_sha256=loaded.digest,
        alignment=loaded.card.alignment,
    )
    save_encoder(EncoderCheckpoint(card, encoder.state_dict()), tmp_path / "guess.safetensors")
    _done("attach", "people", tmp_path / "guess.safetensors")
    copy = data / "weights" / "people-encoder.safetensors"
    assert _listed()["people"]["encoder"] == str(copy)
    assert "✓ people" in _done("verify", "people").stdout
    _done("remove", "people", "--yes")
    assert not copy.exists()


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--name", "Not A Name"], "no name for weights"),
        (["--name", "x", "--domain", "cats"], "human, anime, other"),
        (["--name", "x", "--alignment", "wide"], "ZOOM,SHIFT_Y"),
        (["--name", "x", "--alignment", "-3,0"], "ZOOM,SHIFT_Y"),
        (["--name", "anime"], "taken"),
        (["--name", "all"], "every style"),
        (["--name", "x", "--upscaler", "lanczos"], "--parent"),
    ],
)
def test_import_says_what_is_wrong_with_an_option(golden: Path, options: list[str], hint: str) -> None:
    """Before anything is read, with what would be right."""
    assert hint in _refused(UsageError, "import", golden / "rosinality-64.pt", *options).message


@pytest.mark.usefixtures("data")
def test_unknown_names_are_answered_with_the_known_ones() -> None:
    """For every command that takes a name."""
    for command in (["verify"], ["remove"], ["export", "--layout", "rosinality"]):
        assert "g_ori" in _refused(UnknownGenerator, *command, "nobody").message
    assert "nvidia-state" in _refused(UsageError, "export", "g_ori", "--layout", "onnx").message


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["https://example.org/x.pkl"], "--sha256"),
        (["https://example.org/x.pkl", "--sha256", "abc", "--licence", "MIT"], "64 hexadecimal"),
        (["http://example.org/x.pkl", "--sha256", "0" * 64, "--licence", "MIT"], "https"),
        (["https://example.org/x.pkl", "--sha256", "0" * 64, "--licence", "MIT"], "--accept-licence"),
        (["nothing-known"], "nothing to fetch"),
    ],
)
def test_fetch_connects_to_nobody_before_everything_is_said(arguments: list[str], hint: str) -> None:
    """Digest, licence and its acceptance come first; these addresses are never asked."""
    assert hint in _refused(UsageError, "fetch", *arguments).message


def test_feed_forward_files_are_told_imported_listed_and_removed(data: Path, tmp_path: Path, golden: Path) -> None:
    """A published one and one of ours; each is a style with its method and no parent."""
    swap = write_feed_forward_styles(tmp_path / "made") / "swap.safetensors"
    for file, title in ((golden / "gnr-64.pt", "GANs N' Roses"), (swap, "Swapping Autoencoder")):
        inspected = _done("inspect", file).stdout
        assert f"in one pass, by the method {title}" in inspected
        assert "yes" in inspected
    assert "32 px: Swapping Autoencoder" in _done("import", swap, "--name", "swap", "--upscaler", "lanczos").output
    row = _listed()["swap"]
    assert (row["kind"], row["method"], row["parent"], row["resolution"]) == ("style", "swapping-autoencoder", None, 32)
    assert "swapping-autoencoder" in _done("list").stdout
    assert Registry.load(user=data / "weights").style("swap").upscaler == "lanczos"
    _done("verify", "swap")
    styles = json.loads(CliRunner().invoke(app, ["styles", "--json"]).stdout)
    options = {style["name"]: style["options"] for style in styles}
    assert options["swap"] == ["reference"]
    assert "degree" in options["anime"]
    _refused(MethodMismatch, "import", golden / "rosinality-64.pt", "--name", "child", "--parent", "swap")
    _done("remove", "swap", "--yes")
    assert "swap" not in _listed()
