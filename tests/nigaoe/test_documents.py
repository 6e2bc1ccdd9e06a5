"""The generated parts of the documentation are current."""

from pathlib import Path

import pytest

from nigaoe.documents import codes_table, documents, settings_table
from nigaoe_core.errors import error_tree
from nigaoe_core.settings import Settings


@pytest.mark.parametrize("name", ["openapi.json", "docs/api.md", "docs/commands.md", "docs/operations.md"])
def test_generated_documents_are_current(repository: Path, name: str) -> None:
    """`make documents` writes them."""
    path = repository / name
    assert path.read_text("utf-8") == documents(repository)[path], "run `make documents` and commit the result"


def test_every_setting_and_code_is_in_a_table() -> None:
    """Each once."""
    settings, codes = settings_table(), codes_table()
    assert all(settings.count(f"`NIGAOE_{name.upper()}`") == 1 for name in Settings.model_fields)
    assert all(codes.count(f'id="{kind.code}"') == 1 for kind in error_tree())
