"""Independent vision-language prompting: deep tokens in both towers (the baseline of arXiv 2307.06948)."""

from .base import DeepPromptMethod


class IVLP(DeepPromptMethod):
    """Learns text and vision tokens of several layers; cross-entropy."""
