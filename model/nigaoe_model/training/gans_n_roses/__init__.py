"""The training of GANs N' Roses."""
