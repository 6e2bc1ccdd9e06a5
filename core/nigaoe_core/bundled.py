"""Where the files that come with the distribution lie: in a checkout and in an installed wheel alike."""

import os
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

BUNDLED_WEIGHTS = next(
    (folder for folder in (_PACKAGE / "weights", _PACKAGE.parent.parent / "weights") if folder.is_dir()),
    _PACKAGE / "weights",
)
"""The ``weights`` folder: inside this package in an installed wheel, at the root of a checkout."""

EFFICIENTNET_LITE0 = BUNDLED_WEIGHTS / "efficientnet-lite0.safetensors"
"""Features for perceptual distances and feature statistics (Apache-2.0)."""

REALESR_ANIMEVIDEOV3 = BUNDLED_WEIGHTS / "realesr-animevideov3-x4.safetensors"
"""The fourfold anime upscaler (BSD-3-Clause)."""

FACE_RECOGNITION = BUNDLED_WEIGHTS / "face-recognition.safetensors"
"""Descriptors of faces, for measuring whether a person is kept (MIT; dlib's model CC0)."""

AGE_GENDER = BUNDLED_WEIGHTS / "face-age-gender.safetensors"
"""Age and sex that a face shows, for measuring fairness (MIT)."""

_PACKAGES = ("nigaoe_core", "nigaoe_faces", "nigaoe_model", "nigaoe_worker", "nigaoe_api", "nigaoe")


def import_path() -> str:
    """``PYTHONPATH`` for a child process that imports these very packages: one folder in a wheel, six in a checkout."""
    specs = (find_spec(name) for name in _PACKAGES)
    origins = (Path(spec.origin) for spec in specs if spec is not None and spec.origin is not None)
    return os.pathsep.join(dict.fromkeys(str(origin.resolve().parent.parent) for origin in origins))
