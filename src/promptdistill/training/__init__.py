"""Training prompts: batches, the learning-rate schedule, the loop, checkpoints and finished prompts."""
