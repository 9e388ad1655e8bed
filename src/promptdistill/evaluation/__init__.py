"""Evaluation: prompts to predictions (Parquet), predictions to metrics (JSON)."""
