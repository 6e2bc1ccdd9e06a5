"""Training StyleGAN2: data sets, losses, the loop, fine-tuning under a freeze, and the metrics that judge it."""
