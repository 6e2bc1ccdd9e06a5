"""Everything that learns or generates: StyleGAN2, reverse generation, training."""

from nigaoe_core.openmp import wait_asleep

wait_asleep()
