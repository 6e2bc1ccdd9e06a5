"""Everything that learns or generates: StyleGAN2, reverse generation, training."""
