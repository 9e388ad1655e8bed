"""The region lookup: the teacher's answers, computed once and read by every training."""
