"""StyleGAN2: layers, generator, discriminator, checkpoints, and the networks frozen for inference."""
