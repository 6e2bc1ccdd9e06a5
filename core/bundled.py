"""Where the files that come with the distribution lie: in a checkout and in an installed wheel alike."""

from pathlib import Path

BUNDLED_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""The ``weights`` folder stands beside the ``core`` package, in the checkout and in site-packages."""

EFFICIENTNET_LITE0 = BUNDLED_WEIGHTS / "efficientnet-lite0.safetensors"
"""Features for perceptual distances and feature statistics (Apache-2.0)."""

REALESR_ANIMEVIDEOV3 = BUNDLED_WEIGHTS / "realesr-animevideov3-x4.safetensors"
"""The fourfold anime upscaler (BSD-3-Clause)."""
