"""One look at a file: family, networks, and whether it would run code."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from nigaoe_core.bundled import BUNDLED_WEIGHTS, EFFICIENTNET_LITE0
from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch, ForeignCheckpoint
from nigaoe_model.checkpoints.examination import Reading, examine
from nigaoe_model.stylegan2.checkpoint import Checkpoint

Build = Callable[..., Path]


def _read(path: Path) -> Reading:
    return examine(path).reading


def test_the_golden_freezeg_file_is_recognised(golden: Path) -> None:
    """Architecture from shapes, freeze depth from the arguments, all three networks."""
    reading = _read(golden / "rosinality-64.pt")
    assert (reading.container, reading.family, reading.trainable_blocks) == ("torch-zip", "freezeg", 4)
    assert reading.architecture is not None
    assert reading.architecture.channels == {4: 64, 8: 64, 16: 32, 32: 32, 64: 16}
    assert [network.name for network in reading.networks] == ["g", "g_ema", "d"]
    assert not reading.executes_code


def test_the_golden_nvidia_file_is_recognised_and_its_source_noticed(golden: Path) -> None:
    """It carries source that its own loader would execute, and is readable all the same."""
    reading = _read(golden / "nvidia-ada-64.pkl")
    assert (reading.container, reading.family, reading.problem) == ("pickle", "nvidia", "")
    assert reading.architecture is not None
    assert (reading.architecture.conv_clamp, reading.architecture.mapping_layers) == (256.0, 2)
    assert reading.carries_source
    assert reading.unsafe_imports == ()


def test_a_native_file_is_recognised() -> None:
    """Our own format needs no conversion."""
    reading = _read(BUNDLED_WEIGHTS / "anime.safetensors")
    assert (reading.layout, reading.trainable_blocks) == ("native", 5)
    assert reading.architecture is not None
    assert reading.architecture.resolution == 128


def test_the_name_of_a_file_means_nothing(rosinality_file: Build) -> None:
    """A checkpoint called like a picture is a checkpoint."""
    assert _read(rosinality_file(name="holiday.jpg")).family == "rosinality"


def test_both_formats_of_torch_hold_the_same(rosinality_file: Build) -> None:
    """The zip of today and the run of pickles of yesterday."""
    modern, legacy = _read(rosinality_file()), _read(rosinality_file(legacy=True))
    assert (modern.container, legacy.container) == ("torch-zip", "torch-legacy")
    assert modern.networks == legacy.networks
    assert modern.architecture == legacy.architecture


def test_the_tensorflow_era_is_recognised(tensorflow_file: Build, tiny_checkpoint: Checkpoint) -> None:
    """Three networks in a tuple; the source inside them is noticed and left alone."""
    reading = _read(tensorflow_file())
    assert (reading.family, reading.carries_source, len(reading.networks)) == ("tensorflow", True, 3)
    assert reading.architecture == tiny_checkpoint.card.architecture


def test_an_encoders_decoder_is_recognised(rosinality_file: Build, tmp_path: Path) -> None:
    """e4e and pSp store the generator under `decoder.` beside their encoder."""
    state = torch.load(rosinality_file(args=None, g_optim=None), weights_only=True)["g_ema"]
    prefixed = {f"decoder.{name}": tensor for name, tensor in state.items()}
    encoder = {"encoder.input_layer.0.weight": torch.zeros(4, 3, 3, 3)}
    path = tmp_path / "e4e.pt"
    torch.save({"state_dict": prefixed | encoder, "latent_avg": torch.zeros(6, 8), "opts": {"n": 1}}, path)
    assert (_read(path).family, _read(path).problem) == ("e4e", "")


@pytest.mark.parametrize("prefix", ["", "module.", "g_ema."])
def test_a_bare_state_dict_is_enough(rosinality_file: Build, tmp_path: Path, prefix: str) -> None:
    """Some people save only the tensors, some a wrapped module's."""
    state = torch.load(rosinality_file(args=None, g_optim=None), weights_only=True)["g_ema"]
    save_file({f"{prefix}{name}": tensor for name, tensor in state.items()}, tmp_path / "bare.safetensors")
    assert _read(tmp_path / "bare.safetensors").family == "rosinality"


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (["synthesis.input.freqs", "synthesis.L0_36_512.weight"], "StyleGAN3"),
        (["G.blocks.0.to_style1.weight", "G.blocks.0.to_noise1.weight"], "lucidrains"),
        (["style.1.weight", "input.input", "to_rgb1.iwt.ll"], "SWAGAN"),
        (["generator.progression.0.conv1.conv.weight"], "2019"),
        (["stylegan_decoder.style_mlp.1.weight"], "GFPGAN"),
        (["backbone.synthesis.b4.const", "decoder.net.0.weight"], "EG3D"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "Stable Diffusion"),
        (["mapping.dense0.weight", "synthesis.layer0.weight"], "GenForce"),
    ],
)
def test_other_families_are_refused_by_name(tmp_path: Path, names: list[str], title: str) -> None:
    """The report says what the file is and why it cannot be read."""
    path = tmp_path / "other.pt"
    torch.save({"GAN": {name: torch.zeros(2) for name in names}}, path)
    examination = examine(path)
    assert isinstance(examination.error, ForeignCheckpoint)
    assert title in examination.error.message
    assert title in examination.reading.title


@pytest.mark.parametrize(
    ("names", "method", "title"),
    [
        (
            ["G_A2B_ema.encoder.stem.0.weight", "G_A2B_ema.adain_bottleneck.0.conv1.conv.weight"],
            "gans-n-roses",
            "GANs N' Roses",
        ),
        (
            ["e_ema.structure.0.0.weight", "e_ema.texture.0.1.weight", "g_ema.layers.0.conv1.conv.weight"],
            "swapping-autoencoder",
            "Swapping Autoencoder (rosinality)",
        ),
        (
            ["E.ToSpatialCode.ToSpatialCode0.conv.weight", "E.ToGlobalCode.DownToGlobalCode0.weight"],
            "swapping-autoencoder",
            "Swapping Autoencoder",
        ),
    ],
)
def test_feed_forward_methods_are_recognised_by_name(tmp_path: Path, names: list[str], method: str, title: str) -> None:
    """Whether their tensors fit together is for the import to say; they are no StyleGAN2 to convert."""
    path = tmp_path / "method.pt"
    torch.save({"file": {name: torch.zeros(2) for name in names}}, path)
    examination = examine(path)
    assert (examination.reading.method, examination.reading.title) == (method, title)
    assert (examination.error, examination.recognised, examination.reading.layout) == (None, None, None)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"<!DOCTYPE html><title>Quota exceeded</title>" + b" " * 300, "download did not work"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 300, "HDF5"),
        (b"\x1f\x8b" + b"\0" * 300, "gzip"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "tar"),
        (b"hello, I am a text", "no kind of weight file"),
        (b"PK\x03\x04 nothing", "archive"),
    ],
)
def test_what_people_hand_over_by_mistake_is_named(tmp_path: Path, content: bytes, hint: str) -> None:
    """A web page instead of a download is the most common weight file of all."""
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    error = examine(path).error
    assert error is not None
    assert hint in error.message


def test_an_empty_file_and_no_file_are_broken(tmp_path: Path) -> None:
    """Both are told apart."""
    (tmp_path / "empty.pt").touch()
    for name, hint in (("empty.pt", "empty"), ("none.pt", "no file")):
        error = examine(tmp_path / name).error
        assert isinstance(error, BrokenCheckpoint)
        assert hint in error.message


def test_weights_of_another_network_are_foreign_and_listed() -> None:
    """A safetensors file without StyleGAN2 is said to hold what it holds."""
    examination = examine(EFFICIENTNET_LITE0, list_tensors=True)
    assert isinstance(examination.error, ForeignCheckpoint)
    assert "blocks.0.0.bn1.bias" in examination.error.message
    assert examination.reading.tensors["tensors: conv_stem.weight"] == (32, 3, 3, 3)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_broken(rosinality_file: Build, legacy: bool, share: float) -> None:
    """A download that stopped anywhere is a damaged file, not a stack trace."""
    path = rosinality_file(legacy=legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert isinstance(examine(path).error, BrokenCheckpoint)


def test_a_generator_without_average_is_noted(rosinality_file: Build) -> None:
    """`g` alone is worse than `g_ema`; people should know which they got."""
    reading = _read(rosinality_file(g_ema=None))
    assert any("moving average" in note for note in reading.notes)


def test_a_variant_with_other_parts_is_refused(rosinality_file: Build, tmp_path: Path) -> None:
    """A name too many means another network, however much of the rest fits."""
    document = torch.load(rosinality_file(args=None, g_optim=None), weights_only=True)
    document["g_ema"]["convs.0.attention.weight"] = torch.zeros(3)
    torch.save(document, tmp_path / "variant.pt")
    error = examine(tmp_path / "variant.pt").error
    assert isinstance(error, ForeignCheckpoint)
    assert "convs.0.attention.weight" in error.message


@pytest.mark.parametrize(
    ("prefix", "beside", "title"),
    [
        ("generator.", ("style.1.weight", "res.0.conv.0.weight", "res.7.norm.style.weight"), "DualStyleGAN"),
        ("generator.", ("encoder.0.0.weight", "fusion_out.0.conv.weight", "fusion_skip.0.weight"), "VToonify"),
        ("generator.generator.", ("encoder.0.0.weight", "fusion_out.0.conv.weight", "res.0.conv.0.weight"), "VToonify"),
    ],
)
def test_a_stylegan2_that_is_a_part_of_another_network_is_refused_by_name(
    rosinality_file: Build, tmp_path: Path, prefix: str, beside: tuple[str, ...], title: str
) -> None:
    """DualStyleGAN and VToonify keep a plain StyleGAN2 inside that draws photos: alone it is no style."""
    state = torch.load(rosinality_file(args=None, g_optim=None), weights_only=True)["g_ema"]
    whole = {f"{prefix}{name}": tensor for name, tensor in state.items()} | {name: torch.zeros(2) for name in beside}
    torch.save({"g_ema": whole}, tmp_path / "whole.pt")
    examination = examine(tmp_path / "whole.pt")
    assert isinstance(examination.error, ForeignCheckpoint)
    assert title in examination.error.message
    assert examination.reading.title.startswith(title)


@pytest.mark.parametrize("prefix", ["generator.", "module.", "g_ema.", "decoder."])
def test_parts_beside_a_wrapped_generator_are_not_dropped_in_silence(
    rosinality_file: Build, tmp_path: Path, prefix: str
) -> None:
    """Whatever a network of tomorrow is called: what its StyleGAN2 draws without the rest is not what it draws."""
    state = torch.load(rosinality_file(args=None, g_optim=None), weights_only=True)["g_ema"]
    wrapped = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": wrapped | {"refiner.0.weight": torch.zeros(2)}}, tmp_path / "wrapped.pt")
    error = examine(tmp_path / "wrapped.pt").error
    assert isinstance(error, ForeignCheckpoint)
    assert "refiner.0.weight" in error.message


def test_a_discriminator_beside_a_wrapped_generator_does_no_harm(rosinality_file: Build, tmp_path: Path) -> None:
    """Trainers save both networks of a module in one dictionary of tensors."""
    state = torch.load(rosinality_file(args=None, g_optim=None), weights_only=True)["g_ema"]
    wrapped = {f"generator.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": wrapped | {"discriminator.convs.0.0.weight": torch.zeros(2)}}, tmp_path / "both.pt")
    assert _read(tmp_path / "both.pt").problem == ""


def test_tensors_that_do_not_fit_together_are_a_mismatch(rosinality_file: Build, tmp_path: Path) -> None:
    """A StyleGAN2 with a hole in it."""
    document = torch.load(rosinality_file(args=None, g_optim=None), weights_only=True)
    document["g_ema"]["style.1.weight"] = torch.zeros(3)
    torch.save(document, tmp_path / "hole.pt")
    assert isinstance(examine(tmp_path / "hole.pt").error, CheckpointMismatch)


def test_weights_that_are_no_floats_are_refused(rosinality_file: Build, tmp_path: Path) -> None:
    """Quantised numbers are not converted in silence."""
    document = torch.load(rosinality_file(args=None, g_optim=None), weights_only=True)
    document["g_ema"] = {name: tensor.to(torch.int8) for name, tensor in document["g_ema"].items()}
    torch.save(document, tmp_path / "bytes.pt")
    assert examine(tmp_path / "bytes.pt").error is not None


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"c_dim": 10}, "class-conditional"),
        ({"img_channels": 4}, "RGB"),
    ],
)
def test_nvidia_variants_are_refused_by_name(nvidia_file: Build, change: dict[str, Any], hint: str) -> None:
    """Conditional networks and other colour spaces draw differently from the same names."""
    error = examine(nvidia_file(lambda module: module.state.update(change))).error
    assert isinstance(error, ForeignCheckpoint)
    assert hint in error.message


def test_nvidia_networks_that_are_no_stylegan2_are_named(nvidia_file: Build) -> None:
    """A generator without the known parts is refused with its class's name."""

    def gut(module: Any) -> None:
        module.class_name = "TriPlaneGenerator"
        module.state["_modules"].clear()

    error = examine(nvidia_file(gut)).error
    assert isinstance(error, ForeignCheckpoint)
    assert "TriPlaneGenerator" in error.message


def test_conditional_tensorflow_networks_are_refused(tensorflow_file: Build) -> None:
    """As their PyTorch successors are."""
    error = examine(tensorflow_file(label_size=10)).error
    assert isinstance(error, ForeignCheckpoint)
    assert "class-conditional" in error.message


def test_names_in_a_file_cannot_command_the_terminal(tmp_path: Path) -> None:
    """Escape sequences in tensor names are shown as replacement characters."""
    torch.save({"evil\x1b[2J": {"name\x1b]0;x\x07": torch.zeros(1)}}, tmp_path / "evil.pt")
    reading = examine(tmp_path / "evil.pt", list_tensors=True).reading
    assert "\x1b" not in json.dumps(reading.model_dump(), ensure_ascii=False)
    assert reading.networks[0].name.startswith("evil")


def test_a_whole_pickled_module_is_unsafe_and_says_what_it_names(tmp_path: Path) -> None:
    """`torch.save(model)` stores code by name; a state dict is what is wanted."""
    buffer = io.BytesIO()
    torch.save(torch.nn.Linear(2, 2), buffer)
    (tmp_path / "module.pt").write_bytes(buffer.getvalue())
    reading = _read(tmp_path / "module.pt")
    assert reading.problem_code == "unsafe_checkpoint"
    assert "torch.nn.modules.linear.Linear" in reading.unsafe_imports


def test_looking_needs_no_torch(golden: Path) -> None:
    """The process that opens foreign files does not even load the library whose loaders are attacked."""
    import subprocess

    code = (
        "import sys; from pathlib import Path; from nigaoe_model.checkpoints.examination import examine;"
        f"assert not examine(Path({str(golden / 'rosinality-64.pt')!r})).error; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
