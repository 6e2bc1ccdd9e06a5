"""Set up the run of a generator from a plan, and carry it out."""

import torch

from nigaoe_core.errors import TrainingError
from nigaoe_model.features import EfficientNetFeatures, FrozenFeatures
from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import start_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, load_checkpoint, read_card
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import measure_latents
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team, joined_team
from nigaoe_model.training.growth import grown_architecture
from nigaoe_model.training.moment_matching import LEVELS, MomentMatching
from nigaoe_model.training.networks import Networks, build_child, build_networks
from nigaoe_model.training.photo_latents import PhotoLatents
from nigaoe_model.training.plan import GeneratorPlan, check_folder
from nigaoe_model.training.run_inputs import Starts
from nigaoe_model.training.run_state import Progress, saved_names
from nigaoe_model.training.session import Report, Watch, set_up_torch, train
from nigaoe_model.training.step import Aids
from nigaoe_model.training.trainer import GeneratorTrainer


def train_generator(plan: GeneratorPlan, report: Report | None = None, watch: Watch | None = None) -> Progress:
    """Train as planned; several processes under ``torchrun``.

    Args:
        plan: What to do.
        report: Called with each line of the log, by the leading process only.
        watch: Called after each step.

    Raises:
        DatasetError: The data set cannot be read.
        CheckpointError: A weight file cannot be read or does not fit.
        TrainingError: The folder's contents and the plan disagree, or the numbers became infinite.
        InvalidSettings: The device has no instructions for the chosen precision.
    """
    set_up_torch(plan.config.compute.threads)
    with joined_team(plan.config.compute.device) as team:
        return train(_trainer(plan, team), plan, report, watch)


def _trainer(plan: GeneratorPlan, team: Team) -> GeneratorTrainer:
    dataset = PackedDataset(plan.dataset)
    parent = load_checkpoint(plan.parent) if plan.parent is not None else None
    architecture = _architecture(plan, parent, dataset)
    check_folder(plan)
    saved = saved_names(plan.folder) if plan.resume else frozenset()
    networks = _networks(plan.config, Starts() if saved else plan, architecture, parent, team)
    has_encoder = any(name.startswith("reconstruction.") for name in saved)
    aids = Aids(
        moments=_moments(plan.config, team),
        photo_latents=_photo_latents(plan, parent),
        encoder=_encoder(plan, networks, team, trained=has_encoder),
        person=_person(plan.config, parent, team),
    )
    return GeneratorTrainer(plan.config, dataset, networks, team, aids, parent=parent)


def _architecture(plan: GeneratorPlan, parent: Checkpoint | None, dataset: PackedDataset) -> Architecture:
    architecture = parent.card.architecture if parent is not None else plan.config.architecture
    if architecture is None and plan.grow is not None:
        architecture = grown_architecture(read_card(plan.grow).architecture)
    if architecture is None:
        raise TrainingError("The config has no [architecture]; only a fine-tune takes it from its parent.")
    if architecture.resolution != dataset.resolution:
        raise TrainingError(
            f"The data set has {dataset.resolution} px and the networks {architecture.resolution} px; prepare the data "
            f"with --resolution {architecture.resolution}."
        )
    return architecture


def _networks(
    config: TrainingConfig, starts: Starts, architecture: Architecture, parent: Checkpoint | None, team: Team
) -> Networks:
    if parent is None:
        return build_networks(architecture, starts, team.device, seed=config.compute.seed)
    if config.freeze is None:
        raise TrainingError("A fine-tune needs a [freeze] table that says how many blocks learn.")
    return build_child(
        parent,
        starts,
        team.device,
        trainable_blocks=config.freeze.trainable_blocks,
        freeze_d=config.freeze.freeze_d,
        seed=config.compute.seed,
    )


def _encoder(plan: GeneratorPlan, networks: Networks, team: Team, *, trained: bool) -> Encoder | None:
    """Return the encoder that learns along; one whose state was saved needs no file to start from."""
    if not plan.config.reconstruction.weight:
        return None
    torch.manual_seed(plan.config.compute.seed)
    shape = encoder_architecture(networks.generator.architecture)
    start = None if trained else plan.init_encoder
    return start_encoder(shape, measure_latents(networks.generator), start).to(team.device)


def _person(config: TrainingConfig, parent: Checkpoint | None, team: Team) -> Generator | None:
    if not config.colours.weight:
        return None
    if parent is None:
        raise TrainingError("Colours are carried over from a parent: `colours.weight` is for `nigaoe finetune`.")
    return parent.build_generator().to(team.device)


def _photo_latents(plan: GeneratorPlan, parent: Checkpoint | None) -> PhotoLatents | None:
    if plan.photo_latents is None:
        return None
    if parent is None:
        raise TrainingError("Latents of photos belong to a fine-tune: a base run has no generator to find them in.")
    return PhotoLatents.load(plan.photo_latents, parent)


def _moments(config: TrainingConfig, team: Team) -> MomentMatching | None:
    if not config.moments.weight:
        return None
    features = FrozenFeatures(EfficientNetFeatures(strides=LEVELS).to(team.device))
    return MomentMatching(features, momentum=config.moments.momentum).to(team.device)
