"""The three networks of a run, and which of their parameters learn.

What learns is the answer of one query by tag. Only these parameters ever get a gradient or enter an optimiser or the
moving average, so no phase of training can thaw the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from core.errors import CheckpointMismatch
from model.architecture import Architecture
from model.checkpoint import Checkpoint, load_checkpoint
from model.discriminator import Discriminator
from model.generator import Generator
from model.tags import select

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


@dataclass(frozen=True, slots=True)
class Starts:
    """Slim weight files to start from; None starts at random (``average``: from the generator).

    Attributes:
        generator: File with a generator.
        average: File whose generator becomes the moving average.
        discriminator: File with a discriminator.
        encoder: File of an encoder, perhaps of an earlier generator; only reconstruction needs one.
    """

    generator: Path | None = None
    average: Path | None = None
    discriminator: Path | None = None
    encoder: Path | None = None


def build_networks(architecture: Architecture, starts: Starts, device: torch.device, *, seed: int) -> Networks:
    """Build the networks of a base run: everything learns.

    Raises:
        CheckpointMismatch: A start has another architecture or lacks the network.
    """
    torch.manual_seed(seed)
    generator, discriminator, average = Generator(architecture), Discriminator(architecture), Generator(architecture)
    if starts.generator is not None:
        _fill(generator, _tensors(starts.generator, architecture, "generator"))
    average.load_state_dict(generator.state_dict())
    if starts.average is not None:
        _fill(average, _tensors(starts.average, architecture, "generator"))
    if starts.discriminator is not None:
        _fill(discriminator, _tensors(starts.discriminator, architecture, "discriminator"))
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

    A generator to start from gives only what learns; everything frozen is the parent's.

    Raises:
        CheckpointMismatch: The parent has no generator, the discriminator another architecture, or there are fewer
            blocks than asked for.
    """
    architecture = parent.card.architecture
    torch.manual_seed(seed)
    generator, average = parent.build_generator(), parent.build_generator()
    discriminator = Discriminator(architecture)
    for network, start in ((generator, starts.generator), (average, starts.average or starts.generator)):
        if start is not None:
            learning = generator_parameters(network, trainable_blocks)
            tensors = _tensors(start, architecture, "generator")
            _fill(network, dict(parent.generator) | {name: tensors[name] for name in learning})
    if starts.discriminator is not None:
        _fill(discriminator, _tensors(starts.discriminator, architecture, "discriminator"))
    elif parent.discriminator:
        _fill(discriminator, parent.discriminator)
    return _assemble(generator, discriminator, average, device, trainable_blocks=trainable_blocks, freeze_d=freeze_d)


def generator_parameters(generator: Generator, trainable_blocks: int | None) -> NamedParameters:
    """Return what learns: the last blocks by their tags, or everything.

    Raises:
        CheckpointMismatch: There are fewer blocks than ``trainable_blocks``.
    """
    if trainable_blocks is None:
        return dict(generator.named_parameters())
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


def _tensors(path: Path, architecture: Architecture, what: str) -> Mapping[str, Tensor]:
    checkpoint = load_checkpoint(path)
    if checkpoint.card.architecture != architecture:
        raise CheckpointMismatch(f"`{path.name}` has another architecture than this run; choose a config that fits.")
    tensors = checkpoint.generator if what == "generator" else checkpoint.discriminator
    if not tensors:
        raise CheckpointMismatch(f"`{path.name}` holds no {what}.")
    return tensors


def _fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
