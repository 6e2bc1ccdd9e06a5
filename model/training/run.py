"""Set up a run from a config, a data set and weights, and carry it out."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from core.errors import TrainingError
from model.architecture import Architecture
from model.checkpoint import Checkpoint, load_checkpoint, read_card
from model.encoder.architecture import encoder_architecture
from model.encoder.checkpoint import start_encoder
from model.encoder.network import Encoder
from model.frozen.features import FrozenFeatures
from model.generator import Generator
from model.latent_statistics import measure_latents
from model.perceptual import EfficientNetFeatures
from model.training.config import TrainingConfig
from model.training.dataset import PackedDataset
from model.training.distributed import Team, join_team
from model.training.growth import grown_architecture
from model.training.moment_matching import LEVELS, MomentMatching
from model.training.networks import Networks, Starts, build_child, build_networks
from model.training.photo_latents import PhotoLatents
from model.training.run_log import RunLog
from model.training.run_state import Progress, check_folder
from model.training.session import Report, Session, fill_moments
from model.training.trainer import Trainer

CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that decides a run.

    Attributes:
        config: Resolved settings.
        dataset: Folder of the packed data set.
        folder: Where the run lives.
        starts: Weights to start from.
        parent: Slim checkpoint that a fine-tune starts from; None in a base run.
        photo_latents: File of latents of photos that a fine-tune also draws; None draws z alone.
        resume: Go on from the folder's state.
        tensorboard: Also write TensorBoard events.
    """

    config: TrainingConfig
    dataset: Path
    folder: Path
    starts: Starts = field(default_factory=Starts)
    parent: Path | None = None
    photo_latents: Path | None = None
    resume: bool = False
    tensorboard: bool = False


def carry_out(plan: RunPlan, report: Report | None = None) -> Progress:
    """Train as planned; several processes under ``torchrun``.

    Raises:
        DatasetError: The data set cannot be read.
        CheckpointError: A weight file cannot be read or does not fit.
        TrainingError: The folder's contents and the plan disagree, or the numbers became infinite.
        InvalidSettings: The device has no instructions for the chosen precision.
    """
    _set_up_torch(plan.config)
    dataset = PackedDataset(plan.dataset)
    parent = load_checkpoint(plan.parent) if plan.parent is not None else None
    architecture = _architecture(plan, parent, dataset)
    check_folder(plan.folder, resume=plan.resume)
    team = join_team(plan.config.compute.device)
    try:
        networks = _networks(plan, architecture, parent, team)
        trainer = Trainer(
            plan.config,
            dataset,
            networks,
            team,
            moments=_moments(plan.config, team),
            photo_latents=_photo_latents(plan, parent),
            encoder=_encoder(plan, networks, team),
            parent=_person(plan.config, parent, team),
        )
        if team.leads:
            write_config(plan)
        log = RunLog(plan.folder, tensorboard=plan.tensorboard and team.leads)
        session = Session(trainer, plan.folder, log, parent=parent, report=report)
        if not (plan.resume and session.resume()):
            fill_moments(trainer)
        progress = session.run()
        if team.leads:
            session.export("latest")
        team.wait()
        return progress
    finally:
        team.close()


def write_config(plan: RunPlan) -> None:
    """Save the resolved settings beside the run."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    document = {
        "config": plan.config.model_dump(mode="json"),
        "dataset": str(plan.dataset),
        "parent": str(plan.parent) if plan.parent else None,
        "photo_latents": str(plan.photo_latents) if plan.photo_latents else None,
    }
    (plan.folder / CONFIG).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_config(folder: Path) -> RunPlan:
    """Return the plan that goes on with the run in ``folder``.

    Raises:
        TrainingError: There is no run.
    """
    try:
        document = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config = TrainingConfig.model_validate(document["config"])
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"`{folder}` holds no run that could be resumed.") from error
    parent, latents = (Path(document[name]) if document.get(name) else None for name in ("parent", "photo_latents"))
    return RunPlan(config, Path(document["dataset"]), folder, parent=parent, photo_latents=latents, resume=True)


def _set_up_torch(config: TrainingConfig) -> None:
    # Denormal numbers make late, small gradients up to a hundred times slower on a CPU.
    torch.set_flush_denormal(True)
    if config.compute.threads is not None:
        torch.set_num_threads(config.compute.threads)


def _architecture(plan: RunPlan, parent: Checkpoint | None, dataset: PackedDataset) -> Architecture:
    architecture = parent.card.architecture if parent is not None else plan.config.architecture
    if architecture is None and plan.starts.grow and plan.starts.generator is not None:
        architecture = grown_architecture(read_card(plan.starts.generator).architecture)
    if architecture is None:
        raise TrainingError("The config has no [architecture]; only a fine-tune takes it from its parent.")
    if architecture.resolution != dataset.resolution:
        raise TrainingError(
            f"The data set has {dataset.resolution} px and the networks {architecture.resolution} px; prepare the data "
            f"with --resolution {architecture.resolution}."
        )
    return architecture


def _networks(plan: RunPlan, architecture: Architecture, parent: Checkpoint | None, team: Team) -> Networks:
    config = plan.config
    if parent is None:
        return build_networks(architecture, plan.starts, team.device, seed=config.compute.seed)
    if config.freeze is None:
        raise TrainingError("A fine-tune needs a [freeze] table that says how many blocks learn.")
    return build_child(
        parent,
        plan.starts,
        team.device,
        trainable_blocks=config.freeze.trainable_blocks,
        freeze_d=config.freeze.freeze_d,
        seed=config.compute.seed,
    )


def _encoder(plan: RunPlan, networks: Networks, team: Team) -> Encoder | None:
    if not plan.config.reconstruction.weight:
        return None
    torch.manual_seed(plan.config.compute.seed)
    shape = encoder_architecture(networks.generator.architecture)
    return start_encoder(shape, measure_latents(networks.generator), plan.starts.encoder).to(team.device)


def _person(config: TrainingConfig, parent: Checkpoint | None, team: Team) -> Generator | None:
    if not config.colours.weight:
        return None
    if parent is None:
        raise TrainingError("Colours are carried over from a parent: `colours.weight` is for `nigaoe finetune`.")
    return parent.build_generator().to(team.device)


def _photo_latents(plan: RunPlan, parent: Checkpoint | None) -> PhotoLatents | None:
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
