"""Prompt learning for vision-language models with distillation."""
