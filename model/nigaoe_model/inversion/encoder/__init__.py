"""A small network that guesses a face's latent in one pass, so that its search starts near the end.

Zhu et al., "In-Domain GAN Inversion for Real Image Editing", 2020, and Tov et al., "Designing an Encoder for StyleGAN
Image Manipulation", 2021: an encoder's guess is a start, and optimisation goes on from there.
"""
