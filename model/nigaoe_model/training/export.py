"""From a running training to a slim checkpoint that others can use."""

from pathlib import Path

import torch

from nigaoe_core.errors import TrainingError
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, EncoderCheckpoint, save_encoder
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.portrait.palette import measure_palette
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard, TrainingRecord, save_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import LatentStatistics, measure_latents
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.networks import Networks


def describe_run(
    config: TrainingConfig,
    dataset: PackedDataset,
    generator: Generator,
    *,
    images_seen: int,
    metrics: dict[str, float],
    parent: Checkpoint | None = None,
) -> CheckpointCard:
    """Return the card of a checkpoint of this run.

    Raises:
        TrainingError: Neither config, parent nor data set says how the pictures are framed.
    """
    alignment: AlignmentTemplate | None = (
        config.alignment or (parent and parent.card.alignment) or dataset.card.alignment
    )
    if alignment is None:
        raise TrainingError("The data set has no alignment template; name one with --alignment.")
    return CheckpointCard(
        name=config.name,
        architecture=generator.architecture,
        alignment=alignment,
        domain=config.domain,
        trainable_blocks=config.freeze.trainable_blocks if config.freeze else None,
        parent_sha256=parent.digest if parent else None,
        training=TrainingRecord(
            images_seen=images_seen,
            datasets=(dataset.card.name,),
            recipe=config.model_dump(mode="json", exclude={"architecture", "alignment"}),
            metrics=metrics,
        ),
        licence=config.licence,
        source="nigaoe finetune" if parent else "nigaoe train",
    )


def slim_generator(card: CheckpointCard, networks: Networks, parent: Checkpoint | None = None) -> Checkpoint:
    """Return the moving average in fp16 with its statistics of w, and a style's palette.

    Tensors that a fine-tune froze are taken from the parent's file as they lie there, so that both files agree in every
    bit.
    """
    state = {name: t.detach().to("cpu", torch.float16) for name, t in networks.average.state_dict().items()}
    if parent is not None:
        frozen = state.keys() - networks.generator_parameters.keys()
        state |= {name: parent.generator[name] for name in frozen}
        return Checkpoint(
            card=card,
            generator=state,
            statistics=parent.statistics or _statistics(networks.average),
            palette=measure_palette(parent.build_generator(_device(networks.average)), networks.average),
        )
    statistics = _statistics(networks.average)
    state["mapping.w_avg"] = statistics.mean[0].half()
    return Checkpoint(card=card, generator=state, statistics=statistics)


def slim_discriminator(card: CheckpointCard, networks: Networks) -> Checkpoint:
    """Return the discriminator in fp16: it restarts training and serves as a feature distance."""
    state = {name: t.detach().to("cpu", torch.float16) for name, t in networks.discriminator.state_dict().items()}
    plain = card.model_copy(
        update={"name": f"{card.name}-discriminator", "parent_sha256": None, "trainable_blocks": None}
    )
    return Checkpoint(card=plain, discriminator=state)


def write_pair(folder: Path, stem: str, generator: Checkpoint, discriminator: Checkpoint) -> None:
    """Write ``<stem>.safetensors`` and ``<stem>-discriminator.safetensors``."""
    save_checkpoint(generator, folder / f"{stem}.safetensors")
    save_checkpoint(discriminator, folder / f"{stem}-discriminator.safetensors")


def write_encoder(folder: Path, stem: str, generator: Checkpoint, encoder: Encoder) -> None:
    """Write ``<stem>-encoder.safetensors``, bound to the generator that was written beside it."""
    card = EncoderCard(
        name=f"{generator.card.name}-encoder",
        architecture=encoder.architecture,
        generator_sha256=generator.digest,
        alignment=generator.card.alignment,
        training=generator.card.training,
        licence=generator.card.licence,
        source=generator.card.source,
    )
    checkpoint = EncoderCheckpoint(card, encoder.state_dict())
    save_encoder(checkpoint, folder / f"{stem}-encoder.safetensors", dtype=torch.float16)


def _device(generator: Generator) -> torch.device:
    return next(generator.parameters()).device


def _statistics(generator: Generator) -> LatentStatistics:
    return measure_latents(generator)
