"""Where other implementations keep the same numbers: a function from our layers to their names and shapes each."""

from typing import NamedTuple

from nigaoe_model.checkpoints.layouts import nvidia, rosinality, tensorflow
from nigaoe_model.checkpoints.layouts.table import Layout


class Layouts(NamedTuple):
    """Those of the two networks of one implementation."""

    generator: Layout
    discriminator: Layout


LAYOUTS = {
    "rosinality": Layouts(rosinality.generator, rosinality.discriminator),
    "nvidia": Layouts(nvidia.generator, nvidia.discriminator),
    "tensorflow": Layouts(tensorflow.generator, tensorflow.discriminator),
}
