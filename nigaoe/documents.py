"""Generated parts of the documentation: written from the code, so that they cannot rot.

``python -m nigaoe.documents`` (or ``make documents``) writes them; a test compares them with what is committed.
"""

import html
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from nigaoe_api.app import document_of_defaults
from nigaoe_core.errors import NigaoeError, error_tree
from nigaoe_core.settings import PREFIX, SECTIONS, Settings

_BEGIN: Final = "<!-- {name}: written by `make documents` -->"
_END: Final = "<!-- end of {name} -->"

_PLAIN_TERMINAL: Final = {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "100"}

_FRIENDLY_DEFAULTS: Final = {
    "data_dir": "`~/.local/share/nigaoe`",
    "weights_dir": "the bundled ones",
}
"""Defaults that depend on the machine."""


def codes_table() -> str:
    """Every error code with its status and meaning, in the order of the tree."""
    rows = [(_anchored(kind.code), str(kind.status), _sentence(kind)) for kind in error_tree()]
    return _table(("code", "status", "meaning"), rows)


def settings_table() -> str:
    """Every setting by section."""
    return "\n\n".join(f"### {_title(section)}\n\n{_section_table(section)}" for section in SECTIONS)


def commands_reference() -> str:
    """Every command with its arguments and options, as typer describes them."""
    command = [
        sys.executable,
        "-m",
        "typer",
        "nigaoe.cli",
        "utils",
        "docs",
        "--name",
        "nigaoe",
        "--title",
        "The commands",
    ]
    described = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | _PLAIN_TERMINAL)
    return html.unescape(described.stdout).strip() + "\n"


def documents(repository: Path) -> dict[Path, str]:
    """What every generated file should hold now."""
    inserted: Mapping[str, tuple[str, Callable[[], str]]] = {
        "docs/api.md": ("codes", codes_table),
        "docs/operations.md": ("settings", settings_table),
    }
    made = {
        repository / name: _inserted((repository / name).read_text("utf-8"), part, write())
        for name, (part, write) in inserted.items()
    }
    written = {
        repository / "openapi.json": json.dumps(document_of_defaults(), indent=2, ensure_ascii=False, sort_keys=True)
        + "\n",
        repository / "docs" / "commands.md": commands_reference(),
    }
    return {**made, **written}


def main() -> None:
    """Write them all, from the root of a checkout."""
    for path, text in documents(Path.cwd()).items():
        path.write_text(text, encoding="utf-8")


def _inserted(document: str, name: str, text: str) -> str:
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the document lacks {begin} or {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _anchored(code: str) -> str:
    return f'<a id="{code}"></a>`{code}`'


def _sentence(kind: type[NigaoeError]) -> str:
    first = " ".join((kind.__doc__ or "").split())
    if first == f"{kind.title}.":
        return f"**{first}**"
    return f"**{kind.title}.** {first.replace('``', '`')}"


def _title(section: type[BaseSettings]) -> str:
    return f"{section.__name__}: {(section.__doc__ or '').splitlines()[0].rstrip('.')}"


def _section_table(section: type[BaseSettings]) -> str:
    names = [name for name in section.model_fields if name in Settings.model_fields]
    rows = [_setting(name, section.model_fields[name]) for name in names]
    return _table(("variable", "default", "meaning"), rows)


def _setting(name: str, field: FieldInfo) -> tuple[str, str, str]:
    limits = _limits(field)
    meaning = f"{field.description} ({limits})" if limits else str(field.description)
    return f"`{PREFIX}{name.upper()}`", _default(name, field.default), meaning


def _default(name: str, value: Any) -> str:
    if name in _FRIENDLY_DEFAULTS:
        return _FRIENDLY_DEFAULTS[name]
    if value is None or value is PydanticUndefined or value == "":
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _limits(field: FieldInfo) -> str:
    bounds = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    found = [
        f"{word} {getattr(rule, name):,}"
        for rule in field.metadata
        for name, word in bounds.items()
        if getattr(rule, name, None) is not None
    ]
    return " ".join(found)


if __name__ == "__main__":
    main()
