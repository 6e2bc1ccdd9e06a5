"""Random networks of the compared methods as installed styles, small enough to draw in milliseconds."""

from pathlib import Path

import torch

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.manifest import GeneratorRow, Manifest, StyleRow, edit_manifest
from nigaoe_faces.align import DEMO
from nigaoe_model.compared.gans_n_roses import GansNRosesGenerator
from nigaoe_model.compared.gans_n_roses_architecture import GansNRosesArchitecture
from nigaoe_model.compared.gans_n_roses_checkpoint import GansNRosesCard, GansNRosesCheckpoint, save_gans_n_roses
from nigaoe_model.compared.swapping_autoencoder import SwappingAutoencoder
from nigaoe_model.compared.swapping_autoencoder_architecture import official_architecture
from nigaoe_model.compared.swapping_autoencoder_checkpoint import (
    SwappingAutoencoderCard,
    SwappingAutoencoderCheckpoint,
    save_swapping_autoencoder,
)

GANS_N_ROSES = GansNRosesArchitecture(
    size=32,
    num_down=2,
    channels={4: 12, 8: 12, 16: 10, 32: 8},
    latent_dim=4,
    style_dim=16,
    mapping_layers=2,
    local_size=16,
)
SWAPPING_AUTOENCODER = official_architecture(
    64, halvings=3, encoder_width=4, texture_halvings=1, texture_dim=12, generator_width=16
)


def write_gans_n_roses(path: Path) -> None:
    """Both directions, so that references are read, too."""
    torch.manual_seed(0)
    networks = {name: GansNRosesGenerator(GANS_N_ROSES).state_dict() for name in ("photo_to_anime", "anime_to_photo")}
    card = GansNRosesCard(name="tiny-roses", architecture=GANS_N_ROSES, alignment=DEMO)
    save_gans_n_roses(GansNRosesCheckpoint(card, networks), path)


def write_swapping_autoencoder(path: Path) -> None:
    """With a texture of its own."""
    torch.manual_seed(1)
    tensors = SwappingAutoencoder(SWAPPING_AUTOENCODER).state_dict()
    card = SwappingAutoencoderCard(name="tiny-swaps", architecture=SWAPPING_AUTOENCODER, alignment=DEMO)
    texture = torch.nn.functional.normalize(torch.randn(SWAPPING_AUTOENCODER.texture_dim), dim=0)
    save_swapping_autoencoder(SwappingAutoencoderCheckpoint(card, tensors, texture), path)


def install_beside_the_bundled_pair(folder: Path) -> Path:
    """Return a folder of weights: a style of the bundled pair, and one style a compared method."""
    folder.mkdir(exist_ok=True)
    for name in ("g_ori", "g_ori-encoder", "anime"):
        (folder / f"{name}.safetensors").symlink_to(BUNDLED_WEIGHTS / f"{name}.safetensors")
    write_gans_n_roses(folder / "roses.safetensors")
    write_swapping_autoencoder(folder / "swaps.safetensors")
    generators = {"g_ori": GeneratorRow(file="g_ori.safetensors", encoder="g_ori-encoder.safetensors")}
    styles = {
        "anime": StyleRow(file="anime.safetensors", parent="g_ori"),
        "gans-n-roses": StyleRow(file="roses.safetensors", method="gans-n-roses", upscaler="lanczos"),
        "swapping-autoencoder": StyleRow(file="swaps.safetensors", method="swapping-autoencoder", upscaler="lanczos"),
    }
    edit_manifest(folder, lambda _: Manifest(generators=generators, styles=styles))
    return folder
