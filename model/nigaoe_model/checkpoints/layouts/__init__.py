"""Where other implementations keep the same numbers: tables of names and shapes, valid in both directions."""
