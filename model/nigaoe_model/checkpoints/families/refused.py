"""Families that are recognised in order to be refused by name: their networks are of another kind than StyleGAN2."""

from collections.abc import Callable
from typing import Any, NamedTuple

from nigaoe_core.errors import ForeignCheckpoint
from nigaoe_model.checkpoints.records import tensors_in


class _Refused(NamedTuple):
    title: str
    reason: str
    fits: Callable[[frozenset[str]], bool]


def _has(*fragments: str) -> Callable[[frozenset[str]], bool]:
    return lambda names: all(any(fragment in name for name in names) for fragment in fragments)


_REFUSED = (
    _Refused(
        "VToonify",
        "an encoder and fusion layers draw with the StyleGAN2 inside, which alone draws something else",
        _has("fusion_out.", "generator."),
    ),
    _Refused(
        "DualStyleGAN",
        "its style lies in residual blocks beside the StyleGAN2 inside, which alone draws photos; "
        "the file of its fine-tune before (`finetune-*.pt`) is a plain StyleGAN2",
        _has(".res.0.conv", "generator.convs."),
    ),
    _Refused("StyleGAN3", "its generator has no resolution blocks to freeze", _has("synthesis.input.freqs")),
    _Refused("StyleGAN3", "its generator has no resolution blocks to freeze", _has("synthesis.L0_", ".magnitude_ema")),
    _Refused("EG3D", "it draws through a 3D volume", _has("backbone.synthesis.b4.const")),
    _Refused("GFPGAN", "it restores photos and has no latent space of its own", _has("stylegan_decoder")),
    _Refused(
        "lucidrains' stylegan2-pytorch",
        "its blocks upsample bilinearly and have no equalised learning rate",
        _has("to_style1", "to_noise1"),
    ),
    _Refused("SWAGAN (rosinality)", "its skips are wavelets", _has("style.1.weight", ".iwt.")),
    _Refused("StyleGAN (2019, rosinality)", "it is the generation before StyleGAN2", _has("generator.progression.")),
    _Refused("StyleGAN (2019, TensorFlow)", "it is the generation before StyleGAN2", _has("/StyleMod/")),
    _Refused("GenForce StyleGAN", "its names are others; convert it first", _has("mapping.dense0.", "synthesis.layer")),
    _Refused("Stable Diffusion", "it is a diffusion model", _has("model.diffusion_model.")),
)  # fmt: skip


def refuse_by_name(value: Any) -> None:
    """Raise when the names of the tensors belong to a family that is not StyleGAN2.

    Raises:
        ForeignCheckpoint: Naming the family and the reason.
        UnsafeCheckpoint: Its values refer to each other more often than those of any checkpoint.
    """
    names = frozenset(".".join(path) for path in tensors_in(value))
    for family in _REFUSED:
        if family.fits(names):
            raise ForeignCheckpoint(
                f"This is {family.title}: {family.reason}. Nigaoe reads StyleGAN2.", family=family.title
            )
