"""The methods by which styles draw a photo, and which options of a conversion each of them takes.

A style's method is how its weights turn a photo into a drawing; `nigaoe_core.jobs.Method` says where reverse generation
searches, and belongs to that one method alone. The other methods are feed-forward: they have no latent space and no
parent, and draw in one pass.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from nigaoe_core.errors import OptionNotTaken, ReferenceNeeded
from nigaoe_core.jobs import DEFAULT_COLOURS, Method, Preset

StyleMethod = Literal["reverse-generation", "gans-n-roses", "swapping-autoencoder"]
"""The thesis's own, Chong & Forsyth 2021, and Park et al. 2020. Feed-forward ones are the ``kind`` of their files."""

REVERSE_GENERATION: Final = "reverse-generation"
GANS_N_ROSES: Final = "gans-n-roses"
SWAPPING_AUTOENCODER: Final = "swapping-autoencoder"

METHOD_TITLES: Final[Mapping[StyleMethod, str]] = {
    REVERSE_GENERATION: "reverse generation",
    GANS_N_ROSES: "GANs N' Roses",
    SWAPPING_AUTOENCODER: "Swapping Autoencoder",
}

SEED: Final = "seed"
REFERENCE: Final = "reference"

DEFAULTS: Final[Mapping[str, Any]] = {
    "method": Method.CROSS,
    "preset": Preset.STANDARD,
    "steps": None,
    "space": None,
    "start": None,
    "degree": 1.0,
    "truncation": None,
    "colours": DEFAULT_COLOURS,
    SEED: 0,
    REFERENCE: None,
}
"""Options of a conversion that not every method takes, and what each is where nobody asks for anything."""

SEARCH_OPTIONS: Final = tuple(name for name in DEFAULTS if name != REFERENCE)
"""What reverse generation takes."""


def feed_forward_method(kind: object) -> StyleMethod | None:
    """Return the feed-forward method whose files are of this kind; None: a StyleGAN2, or something else."""
    return next((method for method in METHOD_TITLES if method == kind and method != REVERSE_GENERATION), None)


def refuse_options(style: str, taken: tuple[str, ...], given: Mapping[str, Any], *, needs_reference: bool) -> None:
    """Refuse what a style cannot make use of, rather than draw as if it had not been said.

    An option that is given its default changes nothing and is no fault.

    Args:
        style: The style's name.
        taken: Options that it takes.
        given: Options by name; those that every method takes may be among them.
        needs_reference: Whether it draws nothing without a reference.

    Raises:
        OptionNotTaken: One of them has a value that the style's method has no use for.
        ReferenceNeeded: There is no reference.
    """
    for name, value in given.items():
        if name in DEFAULTS and name not in taken and value is not None and value != DEFAULTS[name]:
            takes = f"it takes {' and '.join(taken)}" if taken else "it takes none of the options of a search"
            raise OptionNotTaken(f"The style `{style}` has no `{name}`: {takes}. Leave `{name}` out.", option=name)
    if needs_reference and given.get(REFERENCE) is None:
        raise ReferenceNeeded(
            f"The style `{style}` draws with the texture of another picture: send an anime face as `reference`."
        )
