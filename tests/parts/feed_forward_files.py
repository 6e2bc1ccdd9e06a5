"""Tiny random networks of the feed-forward methods as files of ours, and a manifest that makes styles of them."""

from pathlib import Path

import torch

from nigaoe_core.manifest import Manifest, StyleRow, edit_manifest
from nigaoe_core.style_methods import StyleMethod
from nigaoe_faces.align import DEMO
from nigaoe_model.compared.gans_n_roses_architecture import GansNRosesArchitecture
from nigaoe_model.compared.gans_n_roses_checkpoint import (
    GansNRosesCard,
    GansNRosesCheckpoint,
    new_network,
    save_gans_n_roses,
)
from nigaoe_model.compared.gans_n_roses_layout import ANIME_TO_PHOTO, PHOTO_TO_ANIME
from nigaoe_model.compared.swapping_autoencoder import SwappingAutoencoder
from nigaoe_model.compared.swapping_autoencoder_architecture import official_architecture
from nigaoe_model.compared.swapping_autoencoder_checkpoint import (
    SwappingAutoencoderCard,
    SwappingAutoencoderCheckpoint,
    save_swapping_autoencoder,
)

SIDE = 32

ROSES = GansNRosesArchitecture(
    size=SIDE,
    num_down=1,
    channels={4: 8, 8: 8, 16: 8, 32: 6},
    latent_dim=3,
    style_dim=8,
    mapping_layers=2,
    local_size=8,
)
SWAP = official_architecture(SIDE, halvings=2, encoder_width=4, texture_halvings=1, texture_dim=12, generator_width=16)


def gans_n_roses(*, reads_references: bool = True) -> GansNRosesCheckpoint:
    """Both directions, or only the one that draws."""
    torch.manual_seed(0)
    names = (PHOTO_TO_ANIME, ANIME_TO_PHOTO) if reads_references else (PHOTO_TO_ANIME,)
    networks = {name: new_network(name, ROSES).state_dict() for name in names}
    return GansNRosesCheckpoint(GansNRosesCard(name="roses", architecture=ROSES, alignment=DEMO), networks)


def swapping_autoencoder(*, has_mean_texture: bool = True) -> SwappingAutoencoderCheckpoint:
    """With a mean texture that was measured of noise, or with none."""
    torch.manual_seed(1)
    network = SwappingAutoencoder(SWAP)
    with torch.no_grad():
        mean = network.mean_texture([torch.rand(4, 3, SIDE, SIDE) * 2 - 1])[0]
    card = SwappingAutoencoderCard(name="swap", architecture=SWAP, alignment=DEMO)
    return SwappingAutoencoderCheckpoint(card, network.state_dict(), mean if has_mean_texture else None)


def write_feed_forward_styles(folder: Path) -> Path:
    """Add four styles to a folder of weights.

    ``roses`` and ``swap`` take references and do without, ``blind-roses`` takes none, and ``bare-swap`` needs one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_gans_n_roses(gans_n_roses(), folder / "roses.safetensors")
    save_gans_n_roses(gans_n_roses(reads_references=False), folder / "blind-roses.safetensors")
    save_swapping_autoencoder(swapping_autoencoder(), folder / "swap.safetensors")
    save_swapping_autoencoder(swapping_autoencoder(has_mean_texture=False), folder / "bare-swap.safetensors")
    methods: dict[str, StyleMethod] = {
        "roses": "gans-n-roses",
        "blind-roses": "gans-n-roses",
        "swap": "swapping-autoencoder",
        "bare-swap": "swapping-autoencoder",
    }
    rows = {name: StyleRow(file=f"{name}.safetensors", method=method) for name, method in methods.items()}

    def add(manifest: Manifest) -> Manifest:
        return manifest.model_copy(update={"styles": manifest.styles | rows})

    edit_manifest(folder, add)
    return folder
