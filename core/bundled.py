"""Where the files that come with the distribution lie: in a checkout and in an installed wheel alike."""

from pathlib import Path

BUNDLED_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""The ``weights`` folder stands beside the ``core`` package, in the checkout and in site-packages."""

EFFICIENTNET_LITE0 = BUNDLED_WEIGHTS / "efficientnet-lite0.safetensors"
"""Features for perceptual distances and feature statistics (Apache-2.0)."""

REALESR_ANIMEVIDEOV3 = BUNDLED_WEIGHTS / "realesr-animevideov3-x4.safetensors"
"""The fourfold anime upscaler (BSD-3-Clause)."""

FACE_RECOGNITION = BUNDLED_WEIGHTS / "face-recognition.safetensors"
"""Descriptors of faces, for measuring whether a person is kept (MIT; dlib's model CC0)."""

AGE_GENDER = BUNDLED_WEIGHTS / "face-age-gender.safetensors"
"""Age and sex that a face shows, for measuring fairness (MIT)."""
