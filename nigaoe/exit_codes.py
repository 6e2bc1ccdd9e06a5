"""Exit codes of the command line: one a kind of failure."""

from collections.abc import Collection
from typing import Final

from nigaoe_core.errors import (
    CheckpointError,
    FaceError,
    ImageError,
    InversionError,
    NigaoeError,
    UsageError,
    VideoError,
)

MIXED: Final = 1

EXIT_CODES: Final[dict[type[NigaoeError], int]] = {
    UsageError: 2,
    ImageError: 3,
    VideoError: 3,
    FaceError: 4,
    CheckpointError: 5,
    InversionError: 6,
}
"""0 is success; 1 is everything else, and failures of several kinds."""


def exit_code(errors: Collection[NigaoeError]) -> int:
    """Return the code for all that went wrong in one run."""
    codes = {_code(error) for error in errors}
    if not codes:
        return 0
    return codes.pop() if len(codes) == 1 else MIXED


def _code(error: NigaoeError) -> int:
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), MIXED)
