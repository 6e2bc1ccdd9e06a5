"""Frozen synthesis for inversion: the pictures and input gradients of the trainable network, faster.

Weights never move here, so whatever depends on weights alone is computed once; and no sample's numbers depend on how
many neighbours it has in the batch, down to the last bit (see `nigaoe_model.stylegan2.inference.linear_maps`).
"""
