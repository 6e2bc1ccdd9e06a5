"""Networks with one more resolution: nothing changes at first, and everything learns."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_faces.align import DEMO
from nigaoe_model.stylegan2.architecture import Architecture, published_architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, load_checkpoint, save_checkpoint
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator, Noise
from nigaoe_model.stylegan2.ops.resample import downsample2d, fir_kernel, upsample2d
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.growth import grown_architecture
from nigaoe_model.training.networks import Networks, build_child, build_networks
from nigaoe_model.training.run_inputs import Starts
from nigaoe_model.training.trainer import GeneratorTrainer

SMALL = Architecture(resolution=16, channels={4: 8, 8: 8, 16: 4}, z_dim=8, w_dim=8, mapping_layers=2)
LARGE = grown_architecture(SMALL, 8)
KERNEL = fir_kernel(SMALL.resample_filter)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generator and discriminator of 16 px in one file, with numbers in every bias, as training leaves them."""
    torch.manual_seed(3)
    generator, discriminator = Generator(SMALL), Discriminator(SMALL)
    for parameter in (*generator.parameters(), *discriminator.parameters()):
        parameter.data += 0.3 * torch.randn_like(parameter)
    generator.mapping.w_avg.normal_()
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    card = CheckpointCard(name="small", architecture=SMALL, alignment=DEMO, domain="human")
    save_checkpoint(Checkpoint(card, generator.state_dict(), discriminator.state_dict()), path)
    return path


@pytest.fixture(scope="module")
def grown(trained: Path) -> Networks:
    """The same networks with 32 px."""
    return build_networks(LARGE, Starts(grow=trained, init_average=trained, init_discriminator=trained), CPU, seed=5)


@pytest.mark.parametrize("noise", ["fixed", "none"])
def test_the_grown_picture_is_the_old_one_enlarged(trained: Path, grown: Networks, noise: Noise) -> None:
    """Generator and average draw what they drew, upsampled by the network's filter, whatever the new styles say."""
    ws = torch.randn(3, SMALL.num_ws, SMALL.w_dim)
    before = upsample2d(load_checkpoint(trained).build_generator().draw_image(ws, noise), KERNEL)
    longer = torch.cat([ws, torch.randn(3, 2, SMALL.w_dim)], dim=1)
    for generator in (grown.generator, grown.average):
        torch.testing.assert_close(generator.draw_image(longer, noise), before, atol=1e-5, rtol=1e-5)
        assert torch.equal(generator.mapping.w_avg, load_checkpoint(trained).generator["mapping.w_avg"])


def test_the_grown_discriminator_answers_as_the_old_one_does_to_the_reduced_picture(
    trained: Path, grown: Networks
) -> None:
    """The same logits up to rounding, from dark to far too bright, at the borders, too."""
    pictures = torch.randn(4, 3, 32, 32)
    before = load_checkpoint(trained).build_discriminator()(downsample2d(pictures, KERNEL))
    torch.testing.assert_close(grown.discriminator(pictures), before, atol=1e-4, rtol=1e-4)
    assert before.std() > 0.01


def test_everything_that_is_new_learns(
    trained: Path, tiny_config: TrainingConfig, larger_dataset: PackedDataset
) -> None:
    """After a few steps each parameter of the new blocks has moved, the silent ToRGB and the unheard channels too."""
    config = tiny_config.model_copy(update={"architecture": LARGE})
    networks = build_networks(LARGE, Starts(grow=trained, init_discriminator=trained), CPU, seed=5)
    new = {
        name: (parameter, parameter.detach().clone())
        for network in (networks.generator, networks.discriminator)
        for name, parameter in network.named_parameters()
        if ".b32." in name or name.startswith("fromrgb")
    }
    trainer = GeneratorTrainer(config, larger_dataset, networks, Team(0, 1, CPU))
    for _ in range(3):
        trainer.step()
    assert len(new) == 21
    assert [name for name, (now, before) in new.items() if torch.equal(now, before)] == []


def test_what_does_not_fit_is_named(trained: Path, tmp_path: Path) -> None:
    """Without the permission to grow, with another width, with two resolutions at once, and with too few channels."""
    with pytest.raises(CheckpointMismatch, match="--grow"):
        build_networks(LARGE, Starts(init=trained), CPU, seed=0)
    wider = LARGE.model_copy(update={"channels": LARGE.channels | {8: 16}})
    with pytest.raises(CheckpointMismatch, match="channels"):
        build_networks(wider, Starts(grow=trained), CPU, seed=0)
    with pytest.raises(CheckpointMismatch, match="grows to 32 px, not to 64"):
        build_networks(grown_architecture(LARGE), Starts(grow=trained), CPU, seed=0)
    with pytest.raises(CheckpointMismatch, match="at least 6 channels"):
        build_networks(grown_architecture(SMALL), Starts(grow=trained, init_discriminator=trained), CPU, seed=0)
    with pytest.raises(CheckpointMismatch, match="any further"):
        grown_architecture(published_architecture(1024))
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(Exception, match="another program"):
        build_networks(LARGE, Starts(grow=foreign), CPU, seed=0)


def test_a_style_of_half_the_resolution_gives_its_blocks(trained: Path) -> None:
    """What learns comes from the small style, what is frozen from the grown parent; the newest block is silent."""
    card = CheckpointCard(name="large", architecture=LARGE, alignment=DEMO, domain="human")
    torch.manual_seed(8)
    parent = Checkpoint(card, Generator(LARGE).state_dict())
    child = build_child(parent, Starts(grow=trained), CPU, trainable_blocks=2, freeze_d=0, seed=0)
    style = load_checkpoint(trained).generator
    state = child.average.state_dict()
    assert child.learning_names is not None
    for name in child.learning_names:
        if ".b16." in name:
            assert torch.equal(state[name], style[name]), name
        elif "b32.torgb.conv.weight" in name or "b32.torgb.bias" in name:
            assert not state[name].any()
        else:
            assert torch.equal(state[name], parent.generator[name]), name
    assert all(torch.equal(state[name], parent.generator[name]) for name in state.keys() - child.learning_names)
