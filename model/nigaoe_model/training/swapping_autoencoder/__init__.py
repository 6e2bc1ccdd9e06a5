"""The training of the Swapping Autoencoder."""
