"""Comparison of a fine-tuned generator with the generator it came from: what both still share.

FreezeG freezes everything but the last blocks, so most tensors are equal bit for bit and a latent means the same face
in both. Where everything was fine-tuned nothing is equal, the meaning has drifted, and how far can be measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch, ParentMismatch
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint
from nigaoe_model.stylegan2.latent_statistics import measure_latents, sample_w

MAPPING = "mapping"
RELATED = 0.3
"""Cosine of the coarse convolutions below which two generators have nothing to do with each other. Independent ones
have 0 within 0.01 (they have 10^5 weights and more); fully fine-tuned ones stay above 0.8."""

DRIFT_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Parentage:
    """The measured relation of a style to its parent.

    Attributes:
        trainable_blocks: Blocks that differ, counted from the output.
        shared: Groups with all tensors equal: ``mapping`` and blocks, coarse to fine.
        changes: Relative change of each other group's weights (norm of the difference by the parent's norm).
        latent_drift: How far the mapping network moves w, in units of the parent's spread of w; 0 when it is shared.
    """

    trainable_blocks: int
    shared: tuple[str, ...]
    changes: Mapping[str, float]
    latent_drift: float

    @property
    def is_frozen(self) -> bool:
        """Whether mapping network and coarse blocks were frozen, as in FreezeG."""
        return MAPPING in self.shared and "b4" in self.shared

    def sentence(self) -> str:
        """Say it to the user; a warning when the pair is no frozen one."""
        if self.is_frozen:
            return f"Shares {_listed(self.shared)} with its parent: trainable_blocks = {self.trainable_blocks}."
        coarse = [change for group, change in self.changes.items() if group in ("b4", "b8", "b16")]
        kept = f" (shared: {_listed(self.shared)})" if self.shared else ""
        return (
            f"Fine-tuned outside of the last blocks too{kept}: its weights at 4 to 16 pixels differ by "
            f"{max(coarse, default=0.0):.1%} and its mapping network moves w by {self.latent_drift:.1%} of the spread. "
            "A latent of the parent means a somewhat different face here; expect less likeness than from a frozen pair."
        )


def compare(child: Checkpoint, parent: Checkpoint) -> Parentage:
    """Measure what a generator shares with its parent.

    Noise maps and the mean style are no learned parameters and are not compared.

    Raises:
        CheckpointMismatch: The architectures differ.
        ParentMismatch: The two have nothing to do with each other.
    """
    if _shape(child.card.architecture) != _shape(parent.card.architecture):
        raise CheckpointMismatch(
            f"`{child.card.name}` and `{parent.card.name}` differ in architecture, so one was not made from the other."
        )
    changes = {group: _change(child, parent, names) for group, names in _groups(parent).items()}
    shared = tuple(group for group, change in changes.items() if change is None)
    moved = {group: change for group, change in changes.items() if change is not None}
    if "b4" in moved:
        _refuse_unrelated(child, parent)
    return Parentage(
        trainable_blocks=_trainable_blocks(child.card.architecture, shared),
        shared=shared,
        changes=moved,
        latent_drift=0.0 if MAPPING in shared else _latent_drift(child, parent),
    )


def adopt(child: Checkpoint, parent: Checkpoint, parentage: Parentage) -> Checkpoint:
    """Make a style of an imported generator: the parent's digest and framing of its card, and its frozen tensors.

    The frozen tensors are equal already; with them come the parent's noise maps and mean style, which importers may
    have drawn or measured anew, so that the shared trunk is equal bit for bit.
    """
    frozen = _frozen_prefixes(parent.card.architecture, parentage)
    generator = {
        name: parent.generator[name] if name.startswith(frozen) else tensor for name, tensor in child.generator.items()
    }
    card = child.card.model_copy(
        update={
            "architecture": parent.card.architecture,
            "parent_sha256": parent.digest,
            "trainable_blocks": parentage.trainable_blocks,
            "training": child.card.training.model_copy(
                update={"notes": f"{child.card.training.notes} {parentage.sentence()}".strip()}
            ),
        }
    )
    statistics = parent.statistics if MAPPING in parentage.shared else None
    return replace(child, card=card, generator=generator, statistics=statistics or child.statistics)


def _frozen_prefixes(architecture: Architecture, parentage: Parentage) -> tuple[str, ...]:
    if not parentage.is_frozen:
        return ("mapping.",) if MAPPING in parentage.shared else ()
    trainable = architecture.trainable_resolutions(parentage.trainable_blocks)
    blocks = [f"synthesis.blocks.b{r}." for r in architecture.resolutions if r not in trainable]
    return ("mapping.", *blocks)


def _shape(architecture: Architecture) -> Architecture:
    # The statistic's group size belongs to the discriminator alone.
    return architecture.model_copy(update={"minibatch_std_group": 4})


def _groups(checkpoint: Checkpoint) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {MAPPING: []}
    groups |= {f"b{resolution}": [] for resolution in checkpoint.card.architecture.resolutions}
    for name in checkpoint.generator:
        if not name.endswith((".noise_const", "w_avg")):
            groups[MAPPING if name.startswith("mapping.") else name.split(".")[2]].append(name)
    return groups


def _change(child: Checkpoint, parent: Checkpoint, names: list[str]) -> float | None:
    """Return the relative change of a group; None when every tensor is equal in the coarser of the two types."""
    difference = norm = torch.zeros((), dtype=torch.float64)
    is_equal = True
    for name in names:
        ours, theirs = child.generator[name], parent.generator[name]
        coarser = min(ours.dtype, theirs.dtype, key=lambda dtype: dtype.itemsize)
        is_equal = is_equal and torch.equal(ours.to(coarser), theirs.to(coarser))
        difference = difference + (ours.double() - theirs.double()).square().sum()
        norm = norm + theirs.double().square().sum()
    return None if is_equal else float((difference / norm.clamp_min(1e-30)).sqrt())


def _trainable_blocks(architecture: Architecture, shared: tuple[str, ...]) -> int:
    if MAPPING not in shared:
        return architecture.num_blocks
    changed = [index for index, resolution in enumerate(architecture.resolutions) if f"b{resolution}" not in shared]
    return architecture.num_blocks - min(changed, default=architecture.num_blocks)


def _refuse_unrelated(child: Checkpoint, parent: Checkpoint) -> None:
    coarse = [
        name for name in parent.generator if name.endswith("conv.weight") and name.split(".")[2] in ("b4", "b8", "b16")
    ]
    ours, theirs = _flat(child.generator, coarse), _flat(parent.generator, coarse)
    cosine = float(torch.nn.functional.cosine_similarity(ours, theirs, dim=0))
    if cosine < RELATED:
        raise ParentMismatch(
            f"`{child.card.name}` has nothing in common with `{parent.card.name}` (cosine of the coarse weights "
            f"{cosine:.2f}): import it with the generator that it was fine-tuned from, or without --parent."
        )


def _flat(state: Mapping[str, Tensor], names: list[str]) -> Tensor:
    return torch.cat([state[name].double().flatten() for name in names])


@torch.no_grad()
def _latent_drift(child: Checkpoint, parent: Checkpoint) -> float:
    g_fin, g_ori = child.build_generator(), parent.build_generator()
    ours, theirs = (sample_w(generator.mapping, DRIFT_SAMPLES, seed=0) for generator in (g_fin, g_ori))
    spread = (parent.statistics or measure_latents(g_ori)).spread
    return float((ours - theirs).norm(dim=1).mean()) / max(spread, 1e-12)


def _listed(groups: tuple[str, ...]) -> str:
    return ", ".join(groups)
