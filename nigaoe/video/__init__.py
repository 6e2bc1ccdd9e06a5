"""Videos: one person in every frame drawn in a style, sound and timing kept. Needs the extra ``video`` (PyAV)."""
