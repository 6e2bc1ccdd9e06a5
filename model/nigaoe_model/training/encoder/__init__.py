"""Train the encoder of a generator: from the generator's own faces, whose latents are known, and from photos."""
