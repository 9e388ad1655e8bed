"""Prompt learning as published, written plainly on unmodified open_clip models, without any speed trick."""
