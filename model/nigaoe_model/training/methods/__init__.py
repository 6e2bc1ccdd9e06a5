"""The training of the compared methods: one driver for both, and what they share."""
