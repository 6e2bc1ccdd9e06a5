"""Set up an encoder's run from a config, a generator and photos, and carry it out."""

import numpy as np
import torch
from torch import Tensor

from nigaoe_core.errors import TrainingError
from nigaoe_model.inversion.encoder.architecture import EncoderArchitecture, encoder_architecture
from nigaoe_model.inversion.encoder.checkpoint import start_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.portrait.pair import LoadedGenerator, load_generator
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.encoder.config import EncoderConfig
from nigaoe_model.training.encoder.faces import Photos, check_framing
from nigaoe_model.training.encoder.trainer import EncoderTrainer
from nigaoe_model.training.plan import EncoderPlan, check_folder
from nigaoe_model.training.run_state import Progress, saved_names
from nigaoe_model.training.session import Report, Watch, set_up_torch, train


def train_encoder(plan: EncoderPlan, report: Report | None = None, watch: Watch | None = None) -> Progress:
    """Train as planned.

    Args:
        plan: What to do.
        report: Called with each line of the log.
        watch: Called after each step.

    Raises:
        DatasetError: A data set cannot be read.
        CheckpointError: A weight file cannot be read or does not fit.
        TrainingError: The folder's contents and the plan disagree, or the numbers became infinite.
        InvalidSettings: The device has no instructions for the chosen precision.
    """
    check_folder(plan)
    config = plan.config
    set_up_torch(config.compute.threads)
    loaded = load_generator(plan.generator, _device(config.compute.device))
    photos = _photos(plan, loaded)
    torch.manual_seed(config.compute.seed)
    encoder = _encoder(plan, loaded)
    trainer = EncoderTrainer(config, loaded, encoder, photos, held_out=_held_out(plan, photos, loaded))
    return train(trainer, plan, report, watch)


def _device(name: str) -> str:
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _encoder(plan: EncoderPlan, loaded: LoadedGenerator) -> Encoder:
    start = None if plan.resume and saved_names(plan.folder) else plan.init
    encoder = start_encoder(_architecture(plan.config, loaded), loaded.statistics, start)
    return encoder.to(loaded.generator.mapping.w_avg.device)


def _architecture(config: EncoderConfig, loaded: LoadedGenerator) -> EncoderArchitecture:
    usual = encoder_architecture(loaded.card.architecture)
    widths = config.network.widths or usual.widths
    if len(widths) != len(usual.widths):
        raise TrainingError(f"network.widths needs {len(usual.widths)} numbers, from {usual.side} px down to 4.")
    return usual.model_copy(update={"widths": widths, "features": config.network.features})


def _photos(plan: EncoderPlan, loaded: LoadedGenerator) -> Photos | None:
    if plan.dataset is None:
        return None
    kept, config = plan.config.held_out if plan.held_out is None else 0, plan.config
    return Photos(PackedDataset(plan.dataset), loaded, kept, config.compute.seed, variation=config.variation)


def _held_out(plan: EncoderPlan, photos: Photos | None, loaded: LoadedGenerator) -> Tensor | None:
    count = plan.config.cadence.score_faces
    if plan.held_out is not None:
        dataset = PackedDataset(plan.held_out)
        check_framing(dataset, loaded)
        return dataset.pictures(np.arange(min(count, len(dataset))))
    if photos is None or photos.shown == len(photos.dataset):
        return None
    return photos.dataset.pictures(np.arange(photos.shown, len(photos.dataset))[:count])
