"""The methods that the thesis compares itself with: a photo becomes an anime face in one pass, without a search."""
