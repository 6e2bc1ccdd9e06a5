"""The manifest: its format, what is wrong with a wrong one, and changing it, one writer at a time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nigaoe_core.errors import InvalidManifest, StorageError
from nigaoe_core.manifest import GeneratorRow, Manifest, StyleRow, edit_manifest, read_manifest


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("format_version = 2", "upgrade"),
        ("this is no TOML", "cannot be read"),
        ('[styles.x]\nfile = "x.safetensors"', "parent"),
        ('[styles.x]\nfile = "../x"\nparent = "g"', "file"),
        ('[styles.x]\nfile = "x"\nparent = "g"\nupscaler = "waifu"', "upscaler.*realesr-animevideov3.*lanczos"),
        ('[styles.x]\nfile = "x"\nmethod = "cyclegan"', "method.*gans-n-roses"),
        ('[styles.x]\nfile = "x"\nmethod = "gans-n-roses"\nparent = "g"', "has no `parent`"),
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


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Names with dots and texts with quotes, umlauts and line ends survive."""
    row = GeneratorRow(file="a.safetensors", title='"Ärger"\n\\', sha256="0" * 64, licence="CC BY-NC 4.0")
    style = StyleRow(file="b.safetensors", parent="ffhq-256.v2", description="似顔絵\x7f")
    manifest = Manifest(generators={"ffhq-256.v2": row}, styles={"b": style})
    edit_manifest(tmp_path / "new", lambda _: manifest)
    assert read_manifest(tmp_path / "new") == manifest


def test_a_change_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """Neither the manifest nor a temporary file is touched."""
    edit_manifest(tmp_path, lambda _: Manifest(generators={"a": GeneratorRow(file="a")}))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(manifest: Manifest) -> Manifest:
        raise KeyError(manifest)

    with pytest.raises(KeyError):
        edit_manifest(tmp_path, fail)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_simultaneous_writers_lose_nothing(tmp_path: Path) -> None:
    """Twenty imports at once end in twenty entries."""

    def add(number: int) -> None:
        row = {f"g{number}": GeneratorRow(file=f"{number}.safetensors")}
        edit_manifest(tmp_path, lambda m: m.model_copy(update={"generators": m.generators | row}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(20)))
    assert len(read_manifest(tmp_path).generators) == 20


def test_an_unwritable_registry_is_said_to_be_one(tmp_path: Path) -> None:
    """A file where the folder should be ends in an error of the tree."""
    (tmp_path / "weights").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        edit_manifest(tmp_path / "weights", lambda m: m)
