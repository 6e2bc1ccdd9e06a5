"""Reverse generation: find the latent whose picture is the given face.

Start reading at `algorithm.py`: the objective, and one step of a batch of searches. `engine.py` runs such steps as
continuous batching: every occupied slot is one search, and slots join and leave between steps.
"""
