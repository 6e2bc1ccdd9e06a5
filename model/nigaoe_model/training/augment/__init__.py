"""What the discriminator sees instead of plain pictures, so that a small data set is not learned by heart."""

from typing import Literal

from nigaoe_model.training.augment.base import Augmentation


def build_augmentation(kind: Literal["none", "ada", "diffaugment"]) -> Augmentation:
    """Return an augmentation by its name in the config."""
    if kind == "ada":
        from nigaoe_model.training.augment.pipeline import AdaptiveAugmentation

        return AdaptiveAugmentation()
    if kind == "diffaugment":
        from nigaoe_model.training.augment.diff_augment import DiffAugment

        return DiffAugment()
    return Augmentation()
