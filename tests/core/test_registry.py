"""The registry: two manifests, one list of names."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from feed_forward_files import SIDE, write_feed_forward_styles

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.errors import BrokenCheckpoint, InvalidManifest, MethodMismatch, UnknownGenerator, UnknownStyle
from nigaoe_core.manifest import GeneratorRow, Manifest, StyleRow, edit_manifest
from nigaoe_core.registry import Registry


def _register(folder: Path, manifest: Manifest) -> None:
    edit_manifest(folder, lambda _: manifest)


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A user registry with one file as two styles of the bundled generator; only one of them states a licence."""
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(BUNDLED_WEIGHTS / "anime.safetensors", folder / "mine.safetensors")
    mine = StyleRow(file="mine.safetensors", parent="g_ori", licence="MIT")
    _register(folder, Manifest(styles={"mine": mine, "silent": mine.model_copy(update={"licence": ""})}))
    return folder


def test_the_bundled_style_is_known_with_its_facts() -> None:
    """A fresh installation knows the style, its resolution and its freeze depth."""
    style = Registry.load().style("anime")
    assert style.bundled
    assert style.parent == "g_ori"
    assert style.facts is not None
    assert (style.facts.resolution, style.facts.domain) == (128, "anime")


def test_an_imported_style_stands_beside_the_bundled_one(user: Path) -> None:
    """The user's style is paired with the bundled generator."""
    registry = Registry.load(user=user)
    assert [s.name for s in registry.styles()][-2:] == ["mine", "silent"]
    assert registry.pair("mine") == (BUNDLED_WEIGHTS / "g_ori.safetensors", user / "mine.safetensors")
    assert not registry.style("mine").bundled


def test_styles_stand_in_the_order_of_their_entries(user: Path) -> None:
    """The writer of a manifest decides what is shown first; the bundled ones come before."""
    rows = {name: StyleRow(file="mine.safetensors", parent="g_ori") for name in ("zebra", "ant", "middle")}
    _register(user, Manifest(styles=rows))
    names = [style.name for style in Registry.load(user=user).styles()]
    assert names == [*(style.name for style in Registry.load().styles()), "zebra", "ant", "middle"]


def test_styles_of_one_generator_stand_together(user: Path) -> None:
    """What one search serves; styles that cannot be drawn at all are left out."""
    shutil.copy(BUNDLED_WEIGHTS / "g_ori.safetensors", user / "people.safetensors")
    rows = {
        "ink": StyleRow(file="mine.safetensors", parent="people"),
        "mine": StyleRow(file="mine.safetensors", parent="g_ori"),
        "gone": StyleRow(file="gone.safetensors", parent="g_ori"),
        "orphan": StyleRow(file="mine.safetensors", parent="lost"),
    }
    _register(user, Manifest(generators={"people": GeneratorRow(file="people.safetensors")}, styles=rows))
    families = Registry.load(user=user).usable_styles()
    bundled = [style.name for style in Registry.load().styles()]
    assert {parent: [style.name for style in styles] for parent, styles in families.items()} == {
        "g_ori": [*bundled, "mine"],
        "people": ["ink"],
    }


def test_feed_forward_styles_have_no_parent_and_options_of_their_own(tmp_path: Path) -> None:
    """What each takes is read off its file; a search of latents knows nothing of them."""
    registry = Registry.load(user=write_feed_forward_styles(tmp_path / "weights"))
    styles = {style.name: style for style in registry.styles() if style.is_feed_forward}
    assert {name: (style.method, style.options, style.needs_reference) for name, style in styles.items()} == {
        "roses": ("gans-n-roses", ("seed", "reference"), False),
        "blind-roses": ("gans-n-roses", ("seed",), False),
        "swap": ("swapping-autoencoder", ("reference",), False),
        "bare-swap": ("swapping-autoencoder", ("reference",), True),
    }
    assert {style.parent for style in styles.values()} == {None}
    assert all(style.facts is not None and style.facts.resolution == SIDE for style in styles.values())
    assert not {style.name for family in registry.usable_styles().values() for style in family} & styles.keys()
    assert registry.framed_by("roses") == registry.feed_forward("roses").path
    assert registry.framed_by("anime") == registry.generator("g_ori").path


def test_a_style_of_another_method_has_an_error_of_its_own(user: Path) -> None:
    """As a pair, as a parent, as what a manifest calls something else, and the other way round."""
    write_feed_forward_styles(user)
    registry = Registry.load(user=user)
    for refuse in (registry.pair, registry.parent_of, registry.generator):
        with pytest.raises(MethodMismatch, match=r"no generator|neither latents"):
            refuse("roses")
    with pytest.raises(MethodMismatch, match="searched"):
        registry.feed_forward("anime")
    rows = {
        "liar": StyleRow(file="roses.safetensors", parent="g_ori"),
        "thief": StyleRow(file="mine.safetensors", method="swapping-autoencoder"),
    }
    _register(user, Manifest(styles=rows))
    registry = Registry.load(user=user)
    assert not any(registry.style(name).is_usable for name in rows)
    with pytest.raises(MethodMismatch, match=r"GANs N' Roses.*registered as reverse generation"):
        registry.pair("liar")
    with pytest.raises(MethodMismatch, match="registered as Swapping Autoencoder"):
        registry.feed_forward("thief")


def test_a_style_says_how_its_drawings_are_enlarged(user: Path) -> None:
    """What the entry names, and what has always been where it names nothing."""
    rows = {
        "soft": StyleRow(file="mine.safetensors", parent="g_ori", upscaler="lanczos"),
        "silent": StyleRow(file="mine.safetensors", parent="g_ori"),
    }
    _register(user, Manifest(styles=rows))
    registry = Registry.load(user=user)
    assert [registry.style(name).upscaler for name in rows] == ["lanczos", "realesr-animevideov3"]


def test_the_manifest_speaks_louder_than_the_file(user: Path) -> None:
    """A licence in the manifest corrects the one in the card; where it is silent the card speaks."""
    registry = Registry.load(user=user)
    assert registry.style("mine").licence == "MIT"
    facts = registry.style("silent").facts
    assert facts is not None
    assert registry.style("silent").licence == facts.licence


def test_an_unknown_name_is_answered_with_the_known_ones(user: Path) -> None:
    """The message tells what could have been meant."""
    registry = Registry.load(user=user)
    with pytest.raises(UnknownStyle, match=r"anime, .*mine, silent, tv"):
        registry.style("nobody")
    with pytest.raises(UnknownGenerator, match="g_ori"):
        registry.generator("nobody")


def test_a_style_without_its_parent_is_no_pair(user: Path) -> None:
    """The missing generator is named."""
    _register(user, Manifest(styles={"mine": StyleRow(file="mine.safetensors", parent="lost")}))
    with pytest.raises(InvalidManifest, match="`lost`"):
        Registry.load(user=user).pair("mine")


def test_a_missing_file_hides_no_other_style(user: Path) -> None:
    """The style stays listed without facts, and only its use fails."""
    (user / "mine.safetensors").unlink()
    registry = Registry.load(user=user)
    assert registry.style("mine").facts is None
    assert registry.style("anime").facts is not None
    with pytest.raises(BrokenCheckpoint, match=r"mine\.safetensors"):
        registry.pair("mine")


def test_the_fingerprint_tells_a_worker_to_load_again(user: Path) -> None:
    """It changes with a manifest and with a file, and with nothing else."""
    registry = Registry.load(user=user)
    before = registry.fingerprint()
    assert registry.fingerprint() == before
    _register(user, Manifest(generators={"other": GeneratorRow(file="mine.safetensors")}))
    edited = registry.fingerprint()
    (user / "mine.safetensors").write_bytes(b"something else")
    assert len({before, edited, registry.fingerprint()}) == 3


def test_a_generator_may_have_an_encoder(user: Path) -> None:
    """Its file lies beside the manifest; a new one tells a worker to load again."""
    row = GeneratorRow(file="mine.safetensors", encoder="guess.safetensors", encoder_sha256="0" * 64)
    _register(user, Manifest(generators={"own": row}))
    registry = Registry.load(user=user)
    entry = registry.generator("own")
    assert (entry.encoder, entry.encoder_sha256) == (user / "guess.safetensors", "0" * 64)
    before = registry.fingerprint()
    (user / "guess.safetensors").write_bytes(b"weights")
    assert registry.fingerprint() != before


def test_a_folder_that_does_not_exist_lists_nothing(tmp_path: Path) -> None:
    """Before the first import there is no user registry."""
    assert Registry.load(user=tmp_path / "nowhere").styles() == Registry.load().styles()


def test_the_registry_is_read_without_torch() -> None:
    """The API lists styles in a process that never loads a generator."""
    code = "import sys; from nigaoe_core.registry import Registry; Registry.load(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
