"""Which options a style takes: what it has no use for is refused, what changes nothing is not."""

from typing import Any

import pytest

from nigaoe_core.errors import OptionNotTaken, ReferenceNeeded
from nigaoe_core.jobs import Preset
from nigaoe_core.style_methods import SEARCH_OPTIONS, feed_forward_method, refuse_options


@pytest.mark.parametrize(
    ("taken", "given", "refused"),
    [
        (SEARCH_OPTIONS, {"preset": Preset.BEST, "degree": 0.5, "seed": 3}, None),
        (SEARCH_OPTIONS, {"reference": b"a picture"}, "reference"),
        (("seed",), {"seed": 3, "face": 2, "paste_back": True}, None),
        (("seed",), {"preset": Preset.STANDARD, "degree": 1.0, "colours": 1.0, "truncation": None}, None),
        (("seed",), {"preset": Preset.DRAFT}, "preset"),
        (("seed",), {"truncation": 0.7}, "truncation"),
        (("reference",), {"seed": 1, "reference": b"a picture"}, "seed"),
        ((), {"reference": b"a picture"}, "reference"),
    ],
)
def test_what_a_style_has_no_use_for_is_refused(
    taken: tuple[str, ...], given: dict[str, Any], refused: str | None
) -> None:
    """By name; a default that was said aloud, and options of every method, are no fault."""
    if refused is None:
        refuse_options("toy", taken, given, needs_reference=False)
        return
    with pytest.raises(OptionNotTaken, match=f"no `{refused}`") as caught:
        refuse_options("toy", taken, given, needs_reference=False)
    assert caught.value.details == {"option": refused}


def test_a_style_without_a_texture_asks_for_a_reference() -> None:
    """And is content when there is one."""
    with pytest.raises(ReferenceNeeded, match="`reference`"):
        refuse_options("toy", ("reference",), {"reference": None}, needs_reference=True)
    refuse_options("toy", ("reference",), {"reference": b"a picture"}, needs_reference=True)


def test_a_kind_that_is_no_feed_forward_method_is_none() -> None:
    """A StyleGAN2's card has no kind; what a file says is its author's choice."""
    assert feed_forward_method("gans-n-roses") == "gans-n-roses"
    assert [feed_forward_method(kind) for kind in (None, "encoder", "reverse-generation", ["gans-n-roses"])] == [
        None
    ] * 4
