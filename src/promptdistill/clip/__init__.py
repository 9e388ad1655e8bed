"""Frozen CLIP models and the prompted towers that every method shares."""
