"""Reverse generation: find the latent whose picture is the given face.

An engine of slots (admit, step, retire) optimises many latents as one batch; each slot is an inversion of its own.
Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, section 5 and appendix D.
"""
