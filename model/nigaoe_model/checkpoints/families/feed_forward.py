"""Published files of the feed-forward methods, told by the names of their tensors; each method converts its own.

Whether the tensors fit together is for the importers in `nigaoe_model.compared` to say: here, no torch is imported.
"""

from typing import Any, NamedTuple

from nigaoe_core.style_methods import GANS_N_ROSES, METHOD_TITLES, SWAPPING_AUTOENCODER, StyleMethod
from nigaoe_model.checkpoints.records import tensors_in


class PublishedMethod(NamedTuple):
    """A feed-forward method as its own program, or another's, stores it.

    Attributes:
        method: Which one.
        title: The family in words.
    """

    method: StyleMethod
    title: str


_ROSES = PublishedMethod(GANS_N_ROSES, METHOD_TITLES[GANS_N_ROSES])
_ROSINALITY = PublishedMethod(SWAPPING_AUTOENCODER, f"{METHOD_TITLES[SWAPPING_AUTOENCODER]} (rosinality)")
_OFFICIAL = PublishedMethod(SWAPPING_AUTOENCODER, METHOD_TITLES[SWAPPING_AUTOENCODER])

_FRAGMENTS = {
    _ROSES: ("adain_bottleneck.", "G_A2B"),
    _ROSINALITY: ("e_ema.structure.", "e_ema.texture."),
    _OFFICIAL: ("ToSpatialCode", "ToGlobalCode"),
}
"""What must all appear in names, each in one at least."""


def published_method(value: Any) -> PublishedMethod | None:
    """Tell a published file of a feed-forward method; None: it is none.

    Raises:
        UnsafeCheckpoint: Its values refer to each other more often than those of any checkpoint.
    """
    names = frozenset(".".join(path) for path in tensors_in(value))
    for published, fragments in _FRAGMENTS.items():
        if all(any(fragment in name for name in names) for fragment in fragments):
            return published
    return None
