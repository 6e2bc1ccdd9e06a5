"""Everything that learns or generates: StyleGAN2, reverse generation, training."""

from nigaoe_core.cpu_runtime import wait_asleep

wait_asleep()
