"""A pair of 128 px that was grown from one of 64: everything that the smaller one can, from import to portrait."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nigaoe_core.jobs import Method
from nigaoe_core.registry import Registry
from nigaoe_faces.align import DEMO
from nigaoe_model.checkpoints.conversion import Description, converted_checkpoint
from nigaoe_model.checkpoints.exporting import ExportLayout, export_weights
from nigaoe_model.checkpoints.reader_process import Request, answer
from nigaoe_model.checkpoints.sandbox import raise_problem
from nigaoe_model.features import shared_features
from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder, start_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.graphs import PlainRecorder
from nigaoe_model.inversion.request import InversionRequest
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.convert import Conversion, ConversionOptions
from nigaoe_model.portrait.palette import measure_palette
from nigaoe_model.portrait.pipeline import Pipeline, Subject
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import (
    Checkpoint,
    CheckpointCard,
    load_checkpoint,
    save_checkpoint,
    tensor_digest,
)
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents
from nigaoe_model.training.export import slim_generator
from nigaoe_model.training.growth import grown_architecture
from nigaoe_model.training.networks import build_child, build_networks
from nigaoe_model.training.run_inputs import Starts

SMALL = Architecture(
    resolution=64, channels={4: 8, 8: 8, 16: 6, 32: 6, 64: 4}, z_dim=8, w_dim=8, mapping_layers=2, minibatch_std_group=2
)
LARGE = grown_architecture(SMALL, 6)
CPU = torch.device("cpu")
pytestmark = pytest.mark.slow
MANIFEST = """
format_version = 1
[generators.base]
file = "g_ori.safetensors"
encoder = "encoder.safetensors"
domain = "human"
[styles.toy]
file = "g_fin.safetensors"
parent = "base"
"""


def card(name: str, architecture: Architecture) -> CheckpointCard:
    return CheckpointCard(name=name, architecture=architecture, alignment=DEMO, domain="human")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grown g_ori, a style whose blocks come from a style of 64 px, and an encoder that knew 64 px."""
    folder = tmp_path_factory.mktemp("weights")
    small, child_card = folder / "small.safetensors", card("small-style", SMALL)
    torch.manual_seed(0)
    save_checkpoint(
        Checkpoint(card("small", SMALL), Generator(SMALL).state_dict(), Discriminator(SMALL).state_dict()), small
    )
    save_checkpoint(Checkpoint(child_card, Generator(SMALL).state_dict()), folder / "small-style.safetensors")
    networks = build_networks(LARGE, Starts(grow=small, init_average=small, init_discriminator=small), CPU, seed=0)
    g_ori = slim_generator(card("base", LARGE), networks)
    save_checkpoint(g_ori, folder / "g_ori.safetensors")

    style = Starts(grow=folder / "small-style.safetensors")
    child = build_child(g_ori, style, CPU, trainable_blocks=5, freeze_d=0, seed=0)
    update = {"name": "toy", "domain": "anime", "trainable_blocks": 5, "parent_sha256": g_ori.digest}
    save_checkpoint(slim_generator(g_ori.card.model_copy(update=update), child, g_ori), folder / "g_fin.safetensors")

    earlier = Encoder(encoder_architecture(SMALL), measure_latents(Generator(SMALL), samples=100))
    torch.nn.init.normal_(earlier.heads.bias)
    described = {"alignment": DEMO, "generator_sha256": g_ori.digest}
    path = folder / "small-encoder.safetensors"
    save_encoder(
        EncoderCheckpoint(
            EncoderCard(name="small", architecture=earlier.architecture, **described), earlier.state_dict()
        ),
        path,
    )
    grown = start_encoder(encoder_architecture(LARGE), measure_latents(networks.average, samples=100), path)
    whole = EncoderCheckpoint(
        EncoderCard(name="large", architecture=grown.architecture, **described), grown.state_dict()
    )
    save_encoder(whole, folder / "encoder.safetensors")
    (folder / "manifest.toml").write_text(MANIFEST)
    return folder


def test_the_grown_encoder_guesses_what_the_smaller_one_did(installed: Path) -> None:
    """Ten layers as before, in units of w's spread; the two new ones answer as the last one did."""
    large, small = encoder_architecture(LARGE), encoder_architecture(SMALL)
    before, now = (
        start_encoder(shape, measure_latents(Generator(which), samples=50), installed / "small-encoder.safetensors")
        for shape, which in ((small, SMALL), (large, LARGE))
    )
    picture = torch.rand(1, 3, 128, 128) * 2 - 1
    old, new = ((encoder(picture) - encoder.mean) / encoder.std for encoder in (before, now))
    torch.testing.assert_close(new[:, :10], old, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(new[:, 10:], old[:, 9:].expand(-1, 2, -1), atol=1e-5, rtol=1e-5)
    assert old.abs().max() > 0.1


def test_statistics_and_palette_have_grown(installed: Path) -> None:
    """A file of 12 layers; the style's palette is the one that is measured at 128 px."""
    g_ori, g_fin = (load_checkpoint(installed / f"{name}.safetensors") for name in ("g_ori", "g_fin"))
    assert g_ori.statistics is not None
    assert g_ori.statistics.mean.shape == (12, 8)
    assert g_fin.palette is not None
    measured = measure_palette(g_ori.build_generator(), g_fin.build_generator())
    torch.testing.assert_close(g_fin.palette.drawing_mean, measured.drawing_mean, atol=1e-2, rtol=1e-2)


def test_a_photo_becomes_a_portrait_of_512_pixels(installed: Path) -> None:
    """The style is listed with its resolution; search from the encoder's guess, drawing, and enlargement."""
    registry = Registry.load(installed)
    style = registry.style("toy")
    assert style.facts is not None
    assert style.facts.resolution == 128
    pipeline = Pipeline(registry, width=2)
    template, resolution = pipeline.framing("toy")
    assert (template, resolution % 128) == (DEMO, 0)
    crop = np.random.default_rng(0).integers(0, 255, (resolution, resolution, 3), dtype=np.uint8)
    options = ConversionOptions(Method.CROSS, InversionSettings(steps=2, start="encoder"))
    ((_, outcome),) = pipeline.convert("toy", options, [Subject(crop)])
    assert isinstance(outcome, Conversion), outcome
    assert outcome.portrait.picture.shape[-2:] == (512, 512)
    assert outcome.report["steps"] == 2


def test_recorded_steps_answer_as_eager_ones_do(installed: Path) -> None:
    """Two faces at 128 px, with and without recorded steps."""
    g_ori = load_checkpoint(installed / "g_ori.safetensors")
    generator = g_ori.build_generator()
    assert g_ori.statistics is not None
    objective = Objective(g_ori.statistics, shared_features(), perceptual_size=32)
    targets = torch.rand(2, 3, 128, 128) * 2 - 1
    requests = [InversionRequest(target, InversionSettings(steps=2), seed=n) for n, target in enumerate(targets)]
    eager, recorded = (
        list(SlotEngine(generator, objective, 2, recorder=recorder).run(requests))
        for recorder in (None, PlainRecorder())
    )
    for one, other in zip(eager, recorded, strict=True):
        assert one.result is not None
        assert other.result is not None
        torch.testing.assert_close(one.result.w_plus, other.result.w_plus, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", ["rosinality", "nvidia-state"])
def test_it_goes_out_and_comes_back(installed: Path, tmp_path: Path, layout: ExportLayout) -> None:
    """Other programs' layouts carry the seventh block; importing gives the same numbers, bit for bit."""
    g_ori = load_checkpoint(installed / "g_ori.safetensors")
    export_weights(g_ori, layout, tmp_path / "out.pt")
    reading = answer(Request(path=tmp_path / "out.pt", output=tmp_path / "t.safetensors", memory=0, seconds=0))
    raise_problem(reading)
    back = converted_checkpoint(tmp_path / "out.pt", reading, tmp_path / "t.safetensors", Description("back"))
    assert back.card.architecture == LARGE
    assert tensor_digest(back.generator) == g_ori.digest
