"""The manifest's format and what is wrong with a wrong one."""

from pathlib import Path

import pytest

from nigaoe_core.errors import InvalidManifest
from nigaoe_core.manifest import Manifest, read_manifest


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("format_version = 2", "upgrade"),
        ("this is no TOML", "cannot be read"),
        ('[styles.x]\nfile = "x.safetensors"', "parent"),
        ('[styles.x]\nfile = "../x"\nparent = "g"', "file"),
        ('[styles.x]\nfile = "x"\nparent = "g"\nupscaler = "waifu"', "upscaler.*realesr-animevideov3.*lanczos"),
        ('[generators.x]\nfile = "/etc/passwd"', "file"),
        ('[generators.x]\nfile = "x"\ncolour = "red"', "colour"),
        ('[generators.x]\nfile = "x"\nsha256 = "abc"', "sha256"),
        ('[generators."Not a name"]\nfile = "x"', "Not a name"),
        ('[generators.x]\nfile = "x"\n[styles.x]\nfile = "x"\nparent = "x"', "both"),
        ('[downloads.x]\nurl = "http://plain"\nsha256 = "' + "0" * 64 + '"', "url"),
    ],
)
def test_a_wrong_manifest_is_told_where_it_is_wrong(tmp_path: Path, text: str, complaint: str) -> None:
    """The message names the file and the entry."""
    (tmp_path / "manifest.toml").write_text(text)
    with pytest.raises(InvalidManifest, match=complaint) as caught:
        read_manifest(tmp_path)
    assert "manifest.toml" in caught.value.message


def test_no_manifest_is_an_empty_manifest(tmp_path: Path) -> None:
    """A new data folder needs no preparation."""
    assert read_manifest(tmp_path) == Manifest()
