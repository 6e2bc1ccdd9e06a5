"""Exit codes."""

from nigaoe.exit_codes import exit_code
from nigaoe_core.errors import BrokenImage, EmptyImage, NigaoeError, NoFace, UnknownStyle


def test_each_kind_of_failure_has_its_code() -> None:
    """Kinds, not classes: a truncated and an empty file are both pictures gone wrong."""
    assert exit_code([]) == 0
    assert exit_code([UnknownStyle()]) == 2
    assert exit_code([EmptyImage(), BrokenImage()]) == 3
    assert exit_code([NoFace()]) == 4


def test_mixed_failures_and_unforeseen_ones_are_one() -> None:
    """When kinds differ no single code would be true."""
    assert exit_code([NoFace(), EmptyImage()]) == 1
    assert exit_code([NigaoeError()]) == 1
