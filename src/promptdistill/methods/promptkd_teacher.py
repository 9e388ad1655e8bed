"""PromptKD's teacher: the larger CLIP, tuned by PromptSRC (arXiv 2403.02781, sec. 3.2)."""

from .promptsrc import PromptSRC


class PromptKDTeacher(PromptSRC):
    """PromptSRC with the teacher's own hyper-parameters."""
