"""Named settings for people who want to choose between sooner and closer."""

from collections.abc import Mapping
from typing import Final

from core.jobs import Preset
from model.inversion.settings import InversionSettings

PRESETS: Final[Mapping[Preset, InversionSettings]] = {
    Preset.DRAFT: InversionSettings(steps=30),
    Preset.STANDARD: InversionSettings(steps=100),
    Preset.BEST: InversionSettings(steps=400),
}
