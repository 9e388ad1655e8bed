"""Data sets: getting their files, their published splits, and their images."""
