"""What there is to choose from."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nigaoe_core.worker_report import WorkerReport

if TYPE_CHECKING:
    from conftest import Api


@pytest.fixture
def registry(weights: Path, tmp_path: Path) -> Path:
    """A user's folder of weights with a style that has a sample."""
    folder = tmp_path / "registry"
    (folder / "samples" / "ink").mkdir(parents=True)
    shutil.copy(weights / "anime.safetensors", folder / "ink.safetensors")
    manifest = 'format_version = 1\n[styles.ink]\nfile = "ink.safetensors"\nparent = "g_ori"\ntitle = "Ink"\n'
    (folder / "manifest.toml").write_text(manifest)
    (folder / "samples" / "ink" / "one.webp").write_bytes(b"after")
    (folder / "samples" / "ink" / "one.before.webp").write_bytes(b"before")
    (folder / "samples" / "ink" / "secret.txt").write_bytes(b"no picture")
    return folder


def styles_of(api: "Api") -> dict[str, Any]:
    return {style["name"]: style for style in api.client().get("/styles").json()["styles"]}


def test_styles_say_whether_someone_serves_them(special_api: Callable[..., "Api"]) -> None:
    """Installed is not the same as running."""
    api = special_api()
    assert styles_of(api)["anime"]["ready"] is False
    report = WorkerReport(worker="a", ready=True, slots=1, styles=("anime",))
    api.services.store.report_worker(report, seconds=60)
    assert styles_of(api)["anime"]["ready"] is True
    assert styles_of(api)["anime"]["resolution"] == 128


def test_the_first_style_is_the_default(special_api: Callable[..., "Api"]) -> None:
    """The list begins with what photos are drawn in that name no style, and says how far they are truncated."""
    answer = special_api().client().get("/styles").json()
    first, *others = answer["styles"]
    assert (answer["default"], first["default"]) == (first["name"], True)
    assert not any(style["default"] for style in others)
    assert first["truncation"] != others[0]["truncation"]


def test_styles_show_samples(special_api: Callable[..., "Api"], registry: Path) -> None:
    """Before and after, to be fetched by anyone, and nothing else of the folder."""
    api = special_api(registry_dir=registry)
    sample = styles_of(api)["ink"]["samples"][0]
    client = api.client()
    assert client.get(sample["after"]).content == b"after"
    assert client.get(sample["before"]).content == b"before"
    assert client.get(sample["after"]).headers["Content-Type"] == "image/webp"
    for name in ("secret.txt", "two.webp", "..%2F..%2Fink.safetensors", "%2e%2e"):
        assert client.get(f"/styles/ink/samples/{name}").status_code == 404
    assert client.get("/styles/nothing/samples/one.webp").status_code == 404


def test_new_styles_appear_by_themselves(
    special_api: Callable[..., "Api"], registry: Path, eventually: Callable[..., Any]
) -> None:
    """An import needs no restart."""
    api = special_api(registry_dir=registry)
    manifest = registry / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("[styles.ink]", "[styles.brush]"))
    eventually(lambda: "brush" in styles_of(api))
