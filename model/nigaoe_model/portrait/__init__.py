"""From a found latent to finished pictures: the pair, blending, colours, upscaling."""
