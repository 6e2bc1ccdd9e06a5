"""The three networks of a run, and which of their parameters learn.

What learns is the answer of one query by tag. Only these parameters ever get a gradient or enter an optimiser or the
moving average, so no phase of training can thaw the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nigaoe_core.errors import CheckpointMismatch
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, load_checkpoint
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.tags import select
from nigaoe_model.training.growth import check_growth, grow_discriminator, grow_generator
from nigaoe_model.training.run_inputs import Starts

NamedParameters = dict[str, nn.Parameter]


@dataclass(frozen=True, slots=True)
class Networks:
    """Generator, discriminator, the generator's moving average, and what of them learns.

    Attributes:
        generator: The one that gets gradients.
        discriminator: Its opponent.
        average: Moving average of the generator.
        generator_parameters: What learns of the generator.
        discriminator_parameters: What learns of the discriminator.
    """

    generator: Generator
    discriminator: Discriminator
    average: Generator
    generator_parameters: NamedParameters
    discriminator_parameters: NamedParameters

    @property
    def learning_names(self) -> frozenset[str] | None:
        """Names of the generator's learning parameters; None when all learn."""
        names = frozenset(self.generator_parameters)
        return None if len(names) == sum(1 for _ in self.generator.parameters()) else names


def build_networks(architecture: Architecture, starts: Starts, device: torch.device, *, seed: int) -> Networks:
    """Build the networks of a base run: everything learns.

    Raises:
        CheckpointMismatch: A start has another architecture or lacks the network.
    """
    torch.manual_seed(seed)
    generator, discriminator, average = Generator(architecture), Discriminator(architecture), Generator(architecture)
    if (start := starts.grow or starts.init) is not None:
        _fill(generator, _generator_start(start, generator, grow=starts.grow is not None))
    average.load_state_dict(generator.state_dict())
    if starts.init_average is not None:
        _fill(average, _generator_start(starts.init_average, generator, grow=starts.grow is not None))
    _fill_discriminator(discriminator, starts)
    return _assemble(generator, discriminator, average, device, trainable_blocks=None, freeze_d=0)


def build_child(
    parent: Checkpoint,
    starts: Starts,
    device: torch.device,
    *,
    trainable_blocks: int,
    freeze_d: int,
    seed: int,
) -> Networks:
    """Build the networks of a fine-tune: the parent's generator, of which the last blocks learn.

    A generator to start from gives only what learns; everything frozen is the parent's. One of half the resolution is
    grown by the parent's finest convolutions, whose colours are not yet listened to.

    Raises:
        CheckpointMismatch: The parent has no generator, the discriminator another architecture, or there are fewer
            blocks than asked for.
    """
    architecture = parent.card.architecture
    torch.manual_seed(seed)
    generator, average = parent.build_generator(), parent.build_generator()
    discriminator = Discriminator(architecture)
    start = starts.grow or starts.init
    for network, path in ((generator, start), (average, starts.init_average or start)):
        if path is not None:
            learning = generator_parameters(network, trainable_blocks)
            tensors = _generator_start(path, network, grow=starts.grow is not None)
            _fill(network, dict(parent.generator) | {name: tensors[name] for name in learning})
    _fill_discriminator(discriminator, starts, parent.discriminator)
    return _assemble(generator, discriminator, average, device, trainable_blocks=trainable_blocks, freeze_d=freeze_d)


def generator_parameters(generator: Generator, trainable_blocks: int | None) -> NamedParameters:
    """Return what learns: the last blocks by their tags, or everything.

    Raises:
        CheckpointMismatch: ``trainable_blocks`` is 0, or there are fewer.
    """
    if trainable_blocks is None:
        return dict(generator.named_parameters())
    if trainable_blocks == 0:
        raise CheckpointMismatch("With 0 trainable blocks nothing would learn; let at least the last one.")
    try:
        resolutions = generator.architecture.trainable_resolutions(trainable_blocks)
    except ValueError as error:
        raise CheckpointMismatch(f"This generator cannot be fine-tuned so: {error}.") from error
    return dict(select(generator, *(f"b{r}" for r in resolutions)))


def discriminator_parameters(discriminator: Discriminator, freeze_d: int) -> NamedParameters:
    """Return what learns when the ``freeze_d`` finest stages (FromRGB, then blocks) do not.

    Raises:
        CheckpointMismatch: There are fewer stages.
    """
    stages = ["fromrgb", *(f"b{r}" for r in discriminator.architecture.resolutions[:0:-1]), "epilogue"]
    if freeze_d >= len(stages):
        raise CheckpointMismatch(f"freeze_d must be below {len(stages)} for this discriminator.")
    return dict(select(discriminator, *stages[freeze_d:]))


def _assemble(
    generator: Generator,
    discriminator: Discriminator,
    average: Generator,
    device: torch.device,
    *,
    trainable_blocks: int | None,
    freeze_d: int,
) -> Networks:
    for network in (generator, discriminator, average):
        network.requires_grad_(requires_grad=False).to(device)
    learning = generator_parameters(generator, trainable_blocks)
    opposing = discriminator_parameters(discriminator, freeze_d)
    for parameter in learning.values():
        parameter.requires_grad_(True)  # noqa: FBT003 - PyTorch takes it by position
    return Networks(generator.train(), discriminator.train(), average.eval(), learning, opposing)


def _generator_start(path: Path, generator: Generator, *, grow: bool) -> Mapping[str, Tensor]:
    """Return the state in a file that fits ``generator``, grown where the file is smaller and may be."""
    checkpoint, architecture = load_checkpoint(path), generator.architecture
    if not checkpoint.generator:
        raise CheckpointMismatch(f"`{path.name}` holds no generator.")
    if _fits(checkpoint, architecture, path, grow=grow):
        return checkpoint.generator
    return grow_generator(generator.state_dict(), checkpoint.generator, architecture.resolution)


def _discriminator_start(path: Path, discriminator: Discriminator, *, grow: bool) -> Mapping[str, Tensor]:
    """Return the state in a file that fits ``discriminator``, grown where the file is smaller and may be."""
    checkpoint, architecture = load_checkpoint(path), discriminator.architecture
    if not checkpoint.discriminator:
        raise CheckpointMismatch(f"`{path.name}` holds no discriminator.")
    if _fits(checkpoint, architecture, path, grow=grow):
        return checkpoint.discriminator
    return grow_discriminator(discriminator.state_dict(), checkpoint.discriminator, architecture)


def _fits(checkpoint: Checkpoint, architecture: Architecture, path: Path, *, grow: bool) -> bool:
    """Whether a file has the run's architecture; False: it has to be grown.

    Raises:
        CheckpointMismatch: It has another one, and cannot be grown to the run's or must not be.
    """
    found = checkpoint.card.architecture
    if found == architecture:
        return True
    if not grow:
        hint = (
            "; `--grow` starts from networks of half the resolution"
            if 2 * found.resolution == architecture.resolution
            else ""
        )
        raise CheckpointMismatch(
            f"`{path.name}` has another architecture than this run; choose a config that fits{hint}."
        )
    check_growth(found, architecture, path.name)
    return False


def _fill_discriminator(
    discriminator: Discriminator, starts: Starts, otherwise: Mapping[str, Tensor] | None = None
) -> None:
    if starts.init_discriminator is not None:
        grow = starts.grow is not None
        _fill(discriminator, _discriminator_start(starts.init_discriminator, discriminator, grow=grow))
    elif otherwise:
        _fill(discriminator, otherwise)


def _fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
