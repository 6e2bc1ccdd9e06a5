"""The example settings are real settings."""

import re
from pathlib import Path

from nigaoe_core.settings import PREFIX, Settings


def test_every_line_names_a_setting(repository: Path) -> None:
    """Commented or not, a variable in `.env.example` exists."""
    text = (repository / ".env.example").read_text()
    names = re.findall(rf"^#? ?{PREFIX}(\w+)=", text, re.MULTILINE)
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)
